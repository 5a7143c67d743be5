import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { requireScope } from '../../auth/authentication.ts'
import { refuseCrossSite } from '../../auth/own-site.ts'
import { scopesIn } from '../../config/api-keys.ts'
import { Problem, retryLater } from '../../errors.ts'
import { poolIdOf, poolOf } from '../../pools/pool-parameter.ts'
import type { SyncScheduler } from '../../sync/sync-scheduler.ts'
import { returnLease } from '../end-leases.ts'
import { selectionOf } from '../lease-filter.ts'
import { type Leasing, requestLease } from '../request-lease.ts'
import { resetUsers } from '../reset.ts'
import { leftSignal } from '../routes.ts'
import type { Order } from '../selection.ts'
import { findNamedUser, type Reader, returnAll } from './give-back.ts'
import { okPage, PAGE_HEADERS, statusPage } from './page.ts'
import { DEFAULT_TTL_SECONDS, readParameters, type StsParameters, StsQuery } from './parameters.ts'
import { answerKo } from './refusals.ts'
import { credentialsIn, lineForm, lineOf, userNamedBy } from './user-lines.ts'

interface StsOptions {
  leasing: Leasing
  scheduler: SyncScheduler
}

/**
 * `/sts/`: leases in the form of JMeter's Simple Table Server, so that a script which reads its logins from there changes only its host.
 * Commands, parameters, pages and sentences are those of HttpSimpleTableServer.java (jmeter-plugins, "HTTP Simple Table Server";
 * read in vdaburon/simple-table-server-alone @ed2d93b). A file is a pool, and a line a user. What differs is in docs/load-generators.md:
 * a line that is read with KEEP=FALSE comes back after TTL, and only its reader can add it again.
 */
export const simpleTableServer: FastifyPluginCallbackTypebox<StsOptions> = (app, { leasing, scheduler }, done) => {
  const { sql, lines, counts, observer } = leasing

  app.setErrorHandler(answerKo)
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, (_request, body, parsed) => {
    parsed(null, Object.fromEntries(new URLSearchParams(String(body))))
  })
  // READ with GET changes something, and browsers may send a key that they know: see `basicAuth`.
  app.addHook('onRequest', refuseCrossSite)

  command('READ', 'Read a line, and lease its user with KEEP=FALSE', async (request, left) => {
    const { READ_MODE, KEEP = 'TRUE', TTL = DEFAULT_TTL_SECONDS, COLUMNS, SEPARATOR } = request.query
    const form = lineForm(COLUMNS, SEPARATOR)
    const include = credentialsIn(form)
    if (include.length > 0) requireScope(request, 'credentials:read', `COLUMNS with ${include.join()}`)
    const pool = poolOf(request)
    const order: Order = READ_MODE === 'RANDOM' ? 'random' : 'least_used'
    const lease = await requestLease(
      leasing,
      {
        ...{ selection: { ...selectionOf(pool), order }, count: 1, partial: false, include },
        ...{ ttlSeconds: TTL, waitSeconds: 0, key: undefined, ...readerOf(request) },
      },
      left,
    )
    const giveBack = () => endOf(pool, { ...lease, pool })
    let line: string
    try {
      const [user] = JSON.parse(`[${lease.users}]`)
      if (user === undefined) throw retryLater('overloaded', 'The user was deleted at this moment. Read again.', 1)
      line = lineOf(user, form)
    } catch (error) {
      await giveBack().catch(() => {}) // then it expires
      throw error
    }
    if (KEEP === 'TRUE') await giveBack()
    return okPage(line)
  })

  command('ADD', 'Return the user of a line that this client read', async (request) => {
    const { LINE, UNIQUE, COLUMNS, SEPARATOR } = request.query
    if (LINE === undefined) throw new Problem('invalid_request', 'LINE parameter was missing !')
    const named = userNamedBy(LINE, lineForm(COLUMNS, SEPARATOR))
    const pool = poolOf(request)
    const user = await findNamedUser(sql, await poolIdOf(sql, request), named, readerOf(request))
    if (!user) {
      const how =
        'Create users with POST /v1/batches or POST /v1/users/import. ADD only returns those that READ gave; one that was deleted since then need not be returned.'
      throw new Problem('invalid_request', `The pool ${pool} has no user with this ${named.column}. ${how}`)
    }
    if (user.lease) {
      await endOf(pool, { ...user.lease, pool })
    } else if (user.status === 'leased') {
      throw new Problem('invalid_request', 'The user is leased by another client, which has to return it.')
    } else if (user.status === 'dirty' || user.status === 'consumed') {
      throw new Problem('invalid_request', `The user is ${user.status}. RESET frees it.`)
    } else if (UNIQUE === 'TRUE') {
      throw new Problem('invalid_request', 'ENTRY already exists !')
    }
    return okPage()
  })

  command('LENGTH', 'Count the free users', async (request) => okPage(await countFree(request)))

  audited('INITFILE', 'Return all users that this client read, and count the free ones', async (request) => {
    const ended = await returnAll(sql, await poolIdOf(sql, request), readerOf(request))
    if (ended > 0) observer.leasesEnded('returned', ended)
    lines.wake(poolOf(request))
    return okPage(await countFree(request))
  })

  audited('RESET', 'Free dirty and consumed users', async (request) => {
    const pool = poolOf(request)
    const { waiting } = await resetUsers(sql, await poolIdOf(sql, request), selectionOf(pool))
    lines.wake(pool)
    if (waiting > 0) scheduler.wake()
    return okPage()
  })

  command('STATUS', 'Count the free users of each pool from which users were leased', async ({ apiKey, query }) => {
    const pools = await sql<{ id: number; name: string }[]>`
      select p.id, p.name from lease_pools l join pools p on p.id = l.pool_id order by p.name`
    const mine = pools.filter(({ name }) => !apiKey || scopesIn(apiKey, name).has('users:lease'))
    const chosen = query.FILENAME === undefined ? mine : mine.filter(({ name }) => name === query.pool)
    const texts: string[] = []
    for (const { id, name } of chosen) texts.push(`${name} = ${(await counts(id, selectionOf(name))).free}`)
    return statusPage(texts)
  })

  app.all('/sts/*', { schema: { hide: true } }, () => {
    const known = 'READ, ADD, LENGTH, INITFILE, RESET and STATUS'
    throw new Problem('route_not_found', `unknown command ! There are ${known}; users are stored without SAVE.`)
  })

  done()

  type StsRequest = FastifyRequest<{ Querystring: StsParameters }>
  type Command = (request: StsRequest, left: AbortSignal) => Promise<string>

  function command(name: string, summary: string, run: Command, hasJournal = true): void {
    app.route<{ Querystring: StsParameters }>({
      url: `/sts/${name}`,
      method: ['GET', 'POST'],
      exposeHeadRoute: false,
      config: { scope: 'users:lease', basicAuth: true, ...(hasJournal && { hasJournal: true }) },
      schema: {
        operationId: `sts${name[0]}${name.slice(1).toLowerCase()}`,
        tags: ['simple table server'],
        summary,
        description:
          'A page with the title OK, or KO and a sentence. POST takes the parameters as application/x-www-form-urlencoded. Everything is explained in docs/load-generators.md.',
        querystring: StsQuery,
        response: { 200: { content: { 'text/html': { schema: Type.String() } } } },
        problems: [],
        problemType: 'text/html',
        responseHeaders: ['Retry-After'],
      },
      preValidation(request, _reply, next) {
        next(readParameters(request, { isFileNeeded: name !== 'STATUS' }))
      },
      async handler(request, reply) {
        const page = await run(request, leftSignal(reply))
        return reply.headers(PAGE_HEADERS).send(page)
      },
    })
  }

  /** A command that leases do not record. */
  function audited(name: string, summary: string, run: Command): void {
    command(name, summary, run, false)
  }

  async function countFree(request: StsRequest): Promise<number> {
    return (await counts(await poolIdOf(sql, request), selectionOf(poolOf(request)))).free
  }

  async function endOf(pool: string, lease: Parameters<typeof returnLease>[1]): Promise<void> {
    if ((await returnLease(sql, lease, 'clean')) === 0) return
    lines.wake(pool)
    observer.leasesEnded('returned', 1)
  }
}

const readerOf = ({ ip, apiKey }: FastifyRequest): Reader => ({ owner: `sts ${ip}`, apiKey: apiKey?.name ?? null })
