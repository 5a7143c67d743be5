import { Readable } from 'node:stream'
import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import Negotiator from 'negotiator'
import type { Sql } from 'postgres'
import { Type } from 'typebox'
import type { Config } from '../config.ts'
import { openSnapshot } from '../database/snapshot.ts'
import { Problem } from '../errors.ts'
import { requireScope } from '../http/authentication.ts'
import { poolName } from '../pools/pool-parameter.ts'
import { filterMembers, filterOf } from '../users/filter-parameters.ts'
import { createAdmission } from './admission.ts'
import { type Answer, decideAnswer } from './answer.ts'
import { writeJson } from './json.ts'
import { type Credential, lineWithCredentials, plainLine } from './line-form.ts'
import { writeNdjson } from './ndjson.ts'
import { lookUpScope, oldestBaseAt } from './scope-state.ts'
import { isState, type State, statesIn } from './state.ts'

const MEDIA_TYPES = { json: 'application/json', ndjson: 'application/x-ndjson' } as const
type Format = keyof typeof MEDIA_TYPES

/** How long an export waits for a place before it is refused. */
const ADMISSION_WAIT_MS = 5_000

const ExportQuery = Type.Object(
  {
    ...filterMembers,
    base: Type.Optional(Type.String({ description: 'The state that the client holds' })),
    differential: Type.Optional(Type.Boolean({ default: true, description: '`false`: always the full export' })),
    format: Type.Optional(Type.Enum(['json', 'ndjson'])),
    include: Type.Optional(
      Type.Enum(['password', 'password_hash', 'password,password_hash', 'password_hash,password'], {
        description: 'Credentials after each user line, never part of it; needs the scope `credentials:read`',
      }),
    ),
  },
  { additionalProperties: false },
)

/** States, and the export by the state that the client holds: unchanged, a delta, or full. */
export const exportRoutes: FastifyPluginCallbackTypebox<{ config: Config; sql: Sql; encryptionKey: Buffer }> = (
  app,
  options,
  done,
) => {
  const { sql, encryptionKey } = options
  const admission = createAdmission(options.config.exportConcurrency, ADMISSION_WAIT_MS)
  const config = { scope: 'users:read' } as const
  const tags = ['export']

  // An export whose client has gone still reads its last page; the driver waits for none when its connections are closed.
  app.addHook('onClose', () => admission.empty())

  app.get(
    '/v1/states/current',
    {
      config,
      schema: {
        tags,
        summary: 'The present state of a filter',
        querystring: Type.Object(filterMembers, { additionalProperties: false }),
        response: {
          200: Type.Object({
            state: Type.String(),
            total_count: Type.Integer(),
            oldest_base_at: Type.Union([Type.String(), Type.Null()]),
          }),
        },
      },
    },
    async (request) => {
      const filter = filterOf(request, request.query)
      const { poolId, state, userCount } = await lookUpScope(sql, poolName(request.query), filter)
      return { state, total_count: userCount, oldest_base_at: await oldestBaseAt(sql, { poolId, ...filter }) }
    },
  )

  app.get(
    '/v1/users/export',
    {
      config: { ...config, work: true },
      schema: {
        tags,
        summary: 'Export users: unchanged, a delta, or all',
        description:
          'Send the state that you hold as `base=` or `If-None-Match`. See “States and differential export”.',
        querystring: ExportQuery,
      },
    },
    async (request, reply) => {
      const { base: baseParameter, differential = true, format: formatParameter, include } = request.query
      if (baseParameter !== undefined && !isState(baseParameter)) {
        throw new Problem('base_invalid', 'A state is u1- and 64 lower-case hexadecimal digits.')
      }
      const format = formatParameter ?? acceptedFormat(request)
      const pool = poolName(request.query)
      const filter = filterOf(request, request.query)
      if (include) requireScope(request, 'credentials:read', 'include')
      const form = include ? lineWithCredentials(include.split(',') as Credential[], encryptionKey) : plainLine
      const held = statesIn(request.headers['if-none-match'])
      reply.header('vary', 'accept, accept-encoding, authorization').header('cache-control', 'private, no-cache')

      const { poolId, state } = await lookUpScope(sql, pool, filter)
      if (differential && held.includes(state)) return sendNotModified(reply, state)

      const leave = await admission.enter()
      const snapshot = await openSnapshot(sql).catch((error) => {
        leave()
        throw error
      })
      const release = async () => {
        await snapshot.close()
        leave()
      }
      try {
        const present = await lookUpScope(snapshot.sql, pool, filter)
        if (differential && held.includes(present.state)) {
          await release()
          return sendNotModified(reply, present.state)
        }
        const answer = await decideAnswer(snapshot.sql, { poolId, ...filter }, present, {
          base: baseParameter ?? held[0],
          differential,
          form,
        })
        setHeaders(reply, answer.kind, answer.base, answer.state)
        reply.type(`${MEDIA_TYPES[format]}; charset=utf-8`)
        if (request.method === 'HEAD') {
          await release()
          return reply.send(null)
        }
        const filters = {
          pool,
          batch_id: filter.batchId ?? null,
          test_users_only: filter.testUsersOnly,
          bulk_users_only: filter.bulkUsersOnly,
        }
        const text =
          format === 'json'
            ? writeJson(answer, { filters, exportTimestamp: new Date().toISOString() })
            : writeNdjson(answer)
        return await send(reply, releasing(text, release), options.config.compressionThreshold)
      } catch (error) {
        await release()
        throw error
      }
    },
  )

  done()
}

/** The form that `Accept` prefers; JSON where it does not care. Throws `not_acceptable`. */
function acceptedFormat(request: FastifyRequest): Format {
  const accepted = new Negotiator(request.raw).mediaType(Object.values(MEDIA_TYPES))
  const format = (Object.keys(MEDIA_TYPES) as Format[]).find((name) => MEDIA_TYPES[name] === accepted)
  if (format === undefined) {
    throw new Problem('not_acceptable', `Accept must leave one of ${Object.values(MEDIA_TYPES).join(', ')}.`)
  }
  return format
}

function setHeaders(reply: FastifyReply, kind: Answer['kind'], base: State | null, state: State): void {
  reply
    .header('etag', `W/"${state}"`)
    .header('usersync-kind', kind)
    .header('usersync-base', base ?? 'none')
    .header('usersync-state', state)
}

function sendNotModified(reply: FastifyReply, state: State) {
  setHeaders(reply, 'unchanged', state, state)
  return reply.code(304).send()
}

/** The text, with `release` called when it has been read, given up or has failed. */
async function* releasing(text: AsyncGenerator<string, void, void>, release: () => Promise<void>) {
  try {
    yield* text
  } finally {
    await release()
  }
}

/**
 * Sends a small answer whole, with its length, and a larger one as a stream. What is smaller than the compression
 * threshold must be known to be so before the first byte goes out, since a stream is always compressed.
 */
async function send(reply: FastifyReply, text: AsyncGenerator<string, void, void>, threshold: number) {
  let start = ''
  while (Buffer.byteLength(start) < threshold || start === '') {
    const { value, done } = await text.next()
    if (done) return reply.send(start)
    start += value
  }
  async function* whole() {
    yield start
    yield* text
  }
  const stream = Readable.from(whole(), { objectMode: false, highWaterMark: 65_536 })
  // A client may be gone before the first read; then nothing else would end `text` and give its snapshot back.
  stream.once('close', () => void text.return())
  return reply.send(stream)
}
