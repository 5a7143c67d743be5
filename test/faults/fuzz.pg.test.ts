import { Agent } from 'node:http'
import { Ajv2020 } from 'ajv/dist/2020.js'
import fc from 'fast-check'
import { stateFromScratch } from '../export/observe.ts'
import { resolveReferences } from '../http/resolve-references.ts'
import { startService } from '../http/service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { brokenImport } from './broken-import.ts'
import { curlOf } from './curl-of.ts'
import { forgedCursor } from './forged-cursor.ts'
import { type FuzzedRequest, type Operation, requestOf } from './fuzzed-request.ts'
import { judge, type Promised } from './judge.ts'
import { API_KEYS, createData, PASSWORD, SECRETS, USER_MARK } from './known.ts'
import { resourcesAtRest } from './open-resources.ts'
import type { Schema } from './schema-value.ts'
import { send, type TimedAnswer } from './send.ts'

const t = suite()

/*
 * Random requests to every route in the OpenAPI description. A failure prints the request as a curl command, and the
 * seed. SEED=n repeats a run.
 */

const REQUESTS = sized(80, 1_000)
const SEED = process.env.SEED === undefined ? undefined : Number(process.env.SEED)
/** The data that requests refer to are restored after this many requests. */
const ROUND = 250

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
const { paths } = resolveReferences(service.app.swagger()) as unknown as {
  paths: Record<string, Record<string, Described>>
}
const operations: Operation[] = Object.entries(paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, described]) => ({ ...described, path, method: method.toUpperCase() })),
)

/** A request that waits for users would take as long as one that hangs. */
const waits = operations.find(({ path, method }) => method === 'POST' && path === '/v1/leases')
const { wait_seconds: wait } = waits?.requestBody?.content['application/json']?.schema.properties ?? {}
if (wait) wait.maximum = 0.1

const importUsers = operations.find(({ path }) => path === '/v1/users/import') as Operation

const ajv = new Ajv2020({ strict: false, validateFormats: false })
const promised: Promised = ({ method, operation: { path } }, status) => {
  const described = paths[path]?.[method.replace('HEAD', 'GET').toLowerCase()]?.responses[status]
  const schema = described?.content?.['application/json']?.schema
  return schema ? ajv.compile(schema) : described && null // ajv keeps what it has compiled
}

/** The cursors issued in this round. */
let given: readonly unknown[] = []
const seen: Record<string, number> = {}
let slowest = { ms: 0, what: '' }
let judged = service.log.length

/** Sends a request. Throws if the response, or a line logged meanwhile, is wrong. */
async function judgeOne(request: FuzzedRequest): Promise<void> {
  const fail = (fault: string) => {
    throw new Error(`${fault}\n${curlOf(request, service.url)}`)
  }
  const answer = await send(agent, service.url, request).catch((error) => fail(`no answer: ${error}`))
  if (!answer) return
  seen[answer.status] = (seen[answer.status] ?? 0) + 1
  if (answer.ms > slowest.ms) slowest = { ms: answer.ms, what: `${request.method} ${request.operation.path}` }
  const logged = faultOfLog() // in any case, or it would be attributed to the next request
  const fault =
    judge(request, answer, promised) ?? faultOfCursor(request, answer) ?? logged ?? (await faultOfHead(request, answer))
  if (fault) fail(`${answer.status}: ${fault}\n${answer.body.toString().slice(0, 1_000)}`)
}

/** A cursor that no listing has issued must be rejected. */
function faultOfCursor({ target, operation, isForged }: FuzzedRequest, { status }: TimedAnswer): string | undefined {
  const isListing = operation.parameters?.some(({ name }) => name === 'cursor')
  const cursor = new URL(target, service.url).searchParams.get('cursor')
  if (isForged && status !== 400 && status !== 404) return 'a forged cursor is accepted' // 404: its pool was removed
  return isListing && status === 200 && cursor !== null && !given.includes(cursor)
    ? 'a cursor that was not issued is accepted'
    : undefined
}

/** No internal error, secret or user is logged. */
function faultOfLog(): string | undefined {
  const lines = service.log.slice(judged)
  judged = service.log.length
  const secrets = [...Object.values(SECRETS), PASSWORD, USER_MARK]
  return lines
    .filter((line) => secrets.some((secret) => line.includes(secret)) || isFault(line))
    .map((line) => `logged: ${line}`)[0]
}

const isFault = (line: string) => /"level":[56]0/.test(line) && !line.includes('"code":"target_failed"')

/** HEAD has the same headers as GET, without a body. If data changed between the two, GET is sent once more. */
async function faultOfHead(request: FuzzedRequest, answer: TimedAnswer): Promise<string | undefined> {
  // The commands of the Simple Table Server have no HEAD: their GET changes something.
  if (request.method !== 'HEAD' || request.operation.path.startsWith('/sts/')) return undefined
  const got = await send(agent, service.url, { ...request, method: 'GET' })
  const differs = ['content-type', 'vary', 'cache-control', 'www-authenticate', 'usersync-kind', 'allow'].find(
    (name) => String(got.headers[name]) !== String(answer.headers[name]),
  )
  if (got.status !== answer.status) return `GET answers ${got.status}`
  return differs && `GET has ${differs}: ${got.headers[differs]}, HEAD ${answer.headers[differs]}`
}

const admin = { authorization: `Bearer ${SECRETS.adminKey}` }
const atFirst = await createData(service, 0).then(() =>
  resourcesAtRest(service, ({ unfinishedBatches }) => unfinishedBatches === 0),
)

t.test('every response follows the OpenAPI description and leaks nothing', async (t) => {
  for (let round = 1; (round - 1) * ROUND < REQUESTS; round++) {
    const known = await createData(service, round)
    given = known.samples['cursor'] ?? []
    const ofAnyKind = operations.map((operation) => ({
      weight: operation.requestBody || (operation.parameters ?? []).length > 2 ? 3 : 1,
      arbitrary: requestOf(operation, known),
    }))
    const requests = fc.oneof(
      { weight: 8, arbitrary: fc.oneof(...ofAnyKind) },
      { weight: 1, arbitrary: forgedCursor(operations, known) },
      { weight: 1, arbitrary: brokenImport(importUsers, known) },
    )
    // Shrinking a slow failure has taken 450 s.
    const limits = { numRuns: Math.min(ROUND, REQUESTS), interruptAfterTimeLimit: 60_000 }
    const options = { ...limits, ...(SEED !== undefined && { seed: SEED + round }) }
    const { failed, errorInstance, seed, counterexamplePath } = await fc.check(
      fc.asyncProperty(requests, judgeOne),
      options,
    )
    if (!failed) continue
    // A comment is printed unchanged, so it can be pasted.
    for (const line of String((errorInstance as Error).message).split('\n')) t.comment(line)
    t.fail(`round ${round}, seed ${seed}, path ${counterexamplePath}`)
    break
  }
  const statuses = Object.entries(seen).map(([status, count]) => `${status}: ${count}`)
  t.comment(`${statuses.join(', ')}; slowest: ${Math.round(slowest.ms)} ms, ${slowest.what}`)
  t.ok((seen[200] ?? 0) > REQUESTS / 20, 'enough requests were valid')
})

t.test('after all requests the service works and uses no more resources than before', async (t) => {
  agent.destroy()
  await service.sql`update targets set interval_seconds = null`
  for (const { id, pool } of await service.sql<{ id: string; pool: string }[]>`
    select b.id, p.name as pool from batches b join pools p on p.id = b.pool_id where status in ('queued', 'running')`) {
    await service.call('POST', `/v1/batches/${id}/cancel?pool=${pool}`, { headers: admin })
  }
  const present = await resourcesAtRest(
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
