import { Agent } from 'node:http'
import { Ajv2020 } from 'ajv/dist/2020.js'
import fc from 'fast-check'
import { stateFromScratch } from '../export/observe.ts'
import { startService } from '../http/service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { brokenImport } from './broken-import.ts'
import { curlOf } from './curl-of.ts'
import { forgedCursor } from './forged-cursor.ts'
import { type FuzzedRequest, type Operation, requestOf } from './fuzzed-request.ts'
import { judge, type Promised } from './judge.ts'
import { API_KEYS, furnish, PASSWORD, SECRETS, USER_MARK } from './known.ts'
import { heldAtRest } from './left-behind.ts'
import type { Schema } from './schema-value.ts'
import { send, type TimedAnswer } from './send.ts'

const t = suite()

/*
 * Requests of every kind against every route, as the description names them. A failure prints the request as a command of
 * curl, and the seed: SEED repeats a run.
 */

const REQUESTS = sized(300, 1_500)
const SEED = process.env.SEED === undefined ? undefined : Number(process.env.SEED)
/** After so many the things that requests name are put back. */
const ROUND = 250

t.setTimeout(120_000 + REQUESTS * 60)
const service = await startService(t, {
  MAX_WORKERS: '1',
  MAX_BATCH_USERS: '50',
  MEMORY_LIMIT_MB: '8192',
  ENCRYPTION_KEY: SECRETS.encryptionKey,
  API_KEYS,
})
const agent = new Agent({ keepAlive: true, maxSockets: 1 })
t.teardown(async () => agent.destroy())

type Described = Omit<Operation, 'path' | 'method'> & {
  responses: Record<string, { content?: Record<string, { schema: Schema }> }>
}
const { paths } = service.app.swagger() as unknown as { paths: Record<string, Record<string, Described>> }
const operations: Operation[] = Object.entries(paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, described]) => ({ ...described, path, method: method.toUpperCase() })),
)

const importUsers = operations.find(({ path }) => path === '/v1/users/import') as Operation

const ajv = new Ajv2020({ strict: false, validateFormats: false })
const answers = Object.fromEntries(
  Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, { responses }]) =>
      Object.entries(responses).map(([status, { content }]) => {
        const schema = content?.['application/json']?.schema
        return [`${method.toUpperCase()} ${path} ${status}`, schema ? ajv.compile(schema) : null]
      }),
    ),
  ),
)
const promised: Promised = ({ method, operation }, status) =>
  answers[`${method.replace('HEAD', 'GET')} ${operation.path} ${status}`]

/** The cursors that were given in this round. */
let given: readonly unknown[] = []
const seen: Record<string, number> = {}
let slowest = { ms: 0, what: '' }
let judged = service.log.length

/** Sends it and throws what is wrong with the answer, or with what was logged meanwhile. */
async function judgeOne(request: FuzzedRequest): Promise<void> {
  const fail = (fault: string) => {
    throw new Error(`${fault}\n${curlOf(request, service.url)}`)
  }
  const answer = await send(agent, service.url, request).catch((error) => fail(`no answer: ${error}`))
  if (!answer) return
  seen[answer.status] = (seen[answer.status] ?? 0) + 1
  if (answer.ms > slowest.ms) slowest = { ms: answer.ms, what: `${request.method} ${request.operation.path}` }
  const logged = faultOfLog() // in any case, or the next request were blamed for it
  const fault =
    judge(request, answer, promised) ?? faultOfCursor(request, answer) ?? logged ?? (await faultOfHead(request, answer))
  if (fault) fail(`${answer.status}: ${fault}\n${answer.body.toString().slice(0, 1_000)}`)
}

/** A cursor that no listing gave leads nowhere. */
function faultOfCursor({ target, operation, isForged }: FuzzedRequest, { status }: TimedAnswer): string | undefined {
  const isListing = operation.parameters?.some(({ name }) => name === 'cursor')
  const cursor = new URL(target, service.url).searchParams.get('cursor')
  if (isForged && status !== 400 && status !== 404) return 'a forged cursor is not refused' // 404: its pool was removed
  return isListing && status === 200 && cursor !== null && !given.includes(cursor)
    ? 'it takes a forged cursor'
    : undefined
}

/** Nothing went wrong inside, and no secret and no user is told. */
function faultOfLog(): string | undefined {
  const lines = service.log.slice(judged)
  judged = service.log.length
  const secrets = [...Object.values(SECRETS), PASSWORD, USER_MARK]
  return lines
    .filter((line) => secrets.some((secret) => line.includes(secret)) || isFault(line))
    .map((line) => `logged: ${line}`)[0]
}

const isFault = (line: string) => /"level":[56]0/.test(line) && !line.includes('"code":"target_failed"')

/** HEAD answers as GET would, without a body; once more where something was made between the two. */
async function faultOfHead(request: FuzzedRequest, answer: TimedAnswer): Promise<string | undefined> {
  if (request.method !== 'HEAD') return undefined
  const got = await send(agent, service.url, { ...request, method: 'GET' })
  const differs = ['content-type', 'vary', 'cache-control', 'www-authenticate', 'usersync-kind', 'allow'].find(
    (name) => String(got.headers[name]) !== String(answer.headers[name]),
  )
  if (got.status !== answer.status) return `GET answers ${got.status}`
  return differs && `GET has ${differs}: ${got.headers[differs]}, HEAD ${answer.headers[differs]}`
}

const admin = { authorization: `Bearer ${SECRETS.adminKey}` }
const atFirst = await furnish(service, 0).then(() =>
  heldAtRest(service, ({ unfinishedBatches }) => unfinishedBatches === 0),
)

t.test('every answer is one of the contract, and nothing is told that should not be', async (t) => {
  for (let round = 1; (round - 1) * ROUND < REQUESTS; round++) {
    const known = await furnish(service, round)
    given = known.telling['cursor'] ?? []
    const ofAnyKind = operations.map((operation) => ({
      weight: operation.requestBody || (operation.parameters ?? []).length > 2 ? 3 : 1,
      arbitrary: requestOf(operation, known),
    }))
    const requests = fc.oneof(
      { weight: 8, arbitrary: fc.oneof(...ofAnyKind) },
      { weight: 1, arbitrary: forgedCursor(operations, known) },
      { weight: 1, arbitrary: brokenImport(importUsers, known) },
    )
    const options = { numRuns: Math.min(ROUND, REQUESTS), ...(SEED !== undefined && { seed: SEED + round }) }
    const { failed, errorInstance, seed, counterexamplePath } = await fc.check(
      fc.asyncProperty(requests, judgeOne),
      options,
    )
    if (!failed) continue
    // As a comment it comes through as it is, and can be pasted.
    for (const line of String((errorInstance as Error).message).split('\n')) t.comment(line)
    t.fail(`round ${round}, seed ${seed}, path ${counterexamplePath}`)
    break
  }
  const statuses = Object.entries(seen).map(([status, count]) => `${status}: ${count}`)
  t.comment(`${statuses.join(', ')}; the slowest ${Math.round(slowest.ms)} ms, ${slowest.what}`)
  t.ok((seen[200] ?? 0) > REQUESTS / 20, 'a good part was right')
})

t.test('after all of it the service is whole, and holds no more than before', async (t) => {
  agent.destroy()
  await service.sql`update targets set interval_seconds = null`
  for (const { id, pool } of await service.sql<{ id: string; pool: string }[]>`
    select b.id, p.name as pool from batches b join pools p on p.id = b.pool_id where status in ('queued', 'running')`) {
    await service.call('POST', `/v1/batches/${id}/cancel?pool=${pool}`, { headers: admin })
  }
  const present = await heldAtRest(
    service,
    ({ sockets, files, openTransactions, unfinishedBatches }) =>
      sockets <= atFirst.sockets && files.length + openTransactions + unfinishedBatches === 0,
  )
  t.match(present, { files: [], openTransactions: 0, unfinishedBatches: 0 })
  t.ok(present.sockets <= atFirst.sockets, `${present.sockets} sockets, ${atFirst.sockets} before`)
  t.ok(present.heapMb < atFirst.heapMb + 64, `${present.heapMb} MiB of heap, ${atFirst.heapMb} before`)
  for (const path of ['/livez', '/readyz', '/healthz']) t.match(await service.call('GET', path), { status: 200 }, path)

  for (const { id, name } of await service.sql<{ id: number; name: string }[]>`select id, name from pools`) {
    for (const testUsersOnly of [true, false]) {
      for (const bulkUsersOnly of [true, false]) {
        const filter = { batchId: undefined, testUsersOnly, bulkUsersOnly }
        const query = `pool=${name}&test_users_only=${testUsersOnly}&bulk_users_only=${bulkUsersOnly}`
        const { json } = await service.call('GET', `/v1/states/current?${query}`, { headers: admin })
        t.match(json, { state: await stateFromScratch(service.sql, id, filter) }, query)
      }
    }
  }
})
