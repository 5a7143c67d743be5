// `npm run demo`: shows on the real service what a load generator saves by requesting only the changes, and checks
// every response. Exits with code 1 if anything is wrong. Takes less than a minute, at most 3.

import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { Batch } from '../src/batches/batches.ts'
import { connect } from '../src/database/connection.ts'
import { startEmbeddedDatabase } from '../src/database/embedded/embedded.ts'
import type { Held } from '../test/export/apply-export.ts'
import { CODINGS, type Coding, type Export, fetchExport, send } from './demo-client.ts'
import { within } from './demo-deadline.ts'
import { startService } from './demo-service.ts'

const USERS = 100_000
const UPDATED = { byRequest: 50, bySql: 50 }
const DELETED = { byRequest: 25, bySql: 25 }

/** Including the stop of the service, the demo ends within 3 minutes. */
const SECONDS = 110

interface Row {
  step: string
  milliseconds: number
  wireBytes?: number
}

const rows: Row[] = []
const halt = new AbortController()
setTimeout(() => halt.abort(new Error(`the demo has taken more than ${SECONDS} s`)), SECONDS * 1000).unref()
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => halt.abort(new Error(`${name} received`)))
}
process.stdout.on('error', (error) => halt.abort(error)) // the reader of the output has exited

const service = startService()
void service.ended.then(() => halt.abort(new Error('interrupted')))
const faults: unknown[] = []
let verdict = ''
try {
  verdict = await demonstrate()
} catch (error) {
  // If the service has crashed, its connections break before its exit is known.
  const end = await Promise.race([service.ended, sleep(300)])
  faults.push(end === undefined ? error : `${messageOf(error)}; the service ended with ${end}`)
}
try {
  const start = performance.now()
  const exit = await service.stop()
  rows.push({ step: 'stop the service', milliseconds: performance.now() - start })
  if (faults.length === 0) expectEqual('the exit code of the service', exit, 0)
} catch (error) {
  faults.push(error)
}
faults.push(...service.complaints.map((line) => `service log: ${line}`))

process.stdout.write(`\n${tableOf(rows)}\n`)
if (faults.length === 0) process.stdout.write(`\n${verdict}\n`)
for (const fault of faults) {
  process.stderr.write(`demo failed: ${messageOf(fault)}\n`)
  process.exitCode = 1
}
setTimeout(() => process.exit(), 5_000).unref() // for what a step past its deadline has left open

/** Runs the whole demonstration and returns the verdict. Throws if anything is not as expected. */
async function demonstrate(): Promise<string> {
  const address = await step('start the service', 60, () => service.listening)
  await step(`create ${number(USERS)} users`, 60, (signal) => makeUsers(address, signal))

  const full = await exportStep('full export', address, 'identity', undefined)
  expectEqual('the response to a client without a state', [full.head.kind, full.head.total_count], ['full', USERS])
  for (const coding of CODINGS.filter((coding) => coding !== 'identity')) {
    const encoded = await exportStep('full export', address, coding, undefined)
    expectEqual(`the state of the export in ${coding}`, encoded.held.state, full.held.state)
  }
  await unchangedStep(address, full.held)

  const changes = count(UPDATED) + count(DELETED)
  const chosen = [...full.held.lines.keys()].filter((_, i) => i % Math.floor(USERS / changes) === 0).slice(0, changes)
  await step(`change ${count(UPDATED)} and delete ${count(DELETED)} users`, 30, (signal) =>
    changeUsers(address, chosen, signal),
  )

  const delta = await exportStep('delta', address, 'identity', full.held)
  const encodedDelta = await exportStep('delta', address, 'zstd', full.held)
  for (const { head } of [delta, encodedDelta]) {
    expectEqual('the kind of response to a client with an older state', head.kind, 'delta')
    expectEqual('the counts of the delta', head.counts, { added: 0, updated: count(UPDATED), deleted: count(DELETED) })
  }
  const fresh = await exportStep('full export after it', address, 'identity', undefined)
  expectEqual('the state after the delta', delta.held.state, fresh.held.state)
  expectSameLines(delta.held, fresh.held)

  const share = (delta.wireBytes / fresh.wireBytes) * 100
  return `Verdict: every response added up to its state. The client with the first state got to the new one, with every line identical, by receiving ${number(delta.wireBytes)} bytes instead of ${number(fresh.wireBytes)}, which is ${share.toFixed(2)} % (zstd: ${number(encodedDelta.wireBytes)} bytes).`
}

/** Runs one step within its seconds, and records its duration. */
async function step<Result>(
  name: string,
  seconds: number,
  task: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const start = performance.now()
  const result = await within(seconds, name, task, halt.signal)
  rows.push({ step: name, milliseconds: performance.now() - start })
  return result
}

/** Fetches an export and records its transfer time. Decoding and checking are the client's time and do not count. */
async function exportStep(what: string, address: string, coding: Coding, held: Held | undefined): Promise<Export> {
  const name = `${what}, ${coding}`
  const result = await within(30, name, (signal) => fetchExport(address, { coding, held, signal }), halt.signal)
  rows.push({ step: name, milliseconds: result.milliseconds, wireBytes: result.wireBytes })
  return result
}

async function unchangedStep(address: string, { state }: Held): Promise<void> {
  const url = new URL('/v1/users/export', address)
  const headers = { accept: 'application/x-ndjson', 'if-none-match': `W/"${state}"` }
  const step = 'the same again: unchanged (304)'
  const answer = await within(10, step, (signal) => send(url, { headers, expected: 304, signal }), halt.signal)
  expectEqual('the bytes of the body of a 304', answer.body.length, 0)
  rows.push({ step, milliseconds: answer.milliseconds, wireBytes: answer.wireBytes })
}

async function makeUsers(address: string, signal: AbortSignal): Promise<void> {
  const url = new URL('/v1/batches', address)
  const accepted = await send(url, { method: 'POST', json: { count: USERS }, expected: 202, signal })
  const location = new URL(accepted.headers.location ?? '', address)
  let batch: Batch
  do {
    await sleep(100, undefined, { signal })
    batch = JSON.parse((await send(location, { expected: 200, signal })).body.toString())
    showProgress(batch)
  } while (batch.finished_at === null)
  expectEqual('the batch', [batch.status, batch.created_count], ['completed', USERS])
}

/** On a terminal a progress bar; otherwise one plain line when the batch has ended. */
function showProgress({ progress, created_count, total_requested, throughput_per_second, finished_at }: Batch): void {
  const text = `${number(created_count)} of ${number(total_requested)} users created, ${number(throughput_per_second ?? 0)} per second`
  const end = finished_at === null ? '' : '\n'
  if (process.stdout.isTTY) {
    const bar = '#'.repeat(Math.round(progress * 20)).padEnd(20, '.')
    process.stdout.write(`\r[${bar}] ${text}`.padEnd(79) + end)
  } else if (end) {
    process.stdout.write(text + end)
  }
}

/** Changes and deletes the users `ids`, by requests and by plain SQL. */
async function changeUsers(address: string, ids: string[], signal: AbortSignal): Promise<void> {
  const left = [...ids]
  for (const id of left.splice(0, UPDATED.byRequest)) {
    await send(new URL(`/v1/users/${id}`, address), {
      method: 'PATCH',
      json: { role: 'auditor' },
      expected: 200,
      signal,
    })
  }
  for (const id of left.splice(0, DELETED.byRequest)) {
    await send(new URL(`/v1/users/${id}`, address), { method: 'DELETE', expected: 204, signal })
  }
  const database = await startEmbeddedDatabase({ dataDir: service.dataDir })
  try {
    expectEqual('whether the running database was joined', database.adopted, true)
    const sql = connect({ url: database.url, schema: 'usersync', connections: 1, name: 'usersync demo' })
    try {
      const updated = await sql`
        update usersync.users set role = 'auditor' where id = any(${left.splice(0, UPDATED.bySql)}::uuid[])`
      const deleted = await sql`delete from usersync.users where id = any(${left}::uuid[])`
      expectEqual('rows written by SQL', [updated.count, deleted.count], [UPDATED.bySql, DELETED.bySql])
    } finally {
      await sql.end({ timeout: 5 })
    }
  } finally {
    await database.stop()
  }
  // We have left the database, but the service must still have it.
  await send(new URL('/readyz', address), { expected: 200, signal })
}

function expectEqual(what: string, actual: unknown, expected: unknown): void {
  if (isDeepStrictEqual(actual, expected)) return
  throw new Error(`${what}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`)
}

function expectSameLines(actual: Held, expected: Held): void {
  expectEqual('the number of users after the delta', actual.lines.size, expected.lines.size)
  for (const [id, line] of expected.lines) expectEqual(`the user ${id} after the delta`, actual.lines.get(id), line)
}

/** The steps as plain text of 78 columns. Savings are relative to the first response with bytes, the full export. */
function tableOf(rows: Row[]): string {
  const whole = rows.find(({ wireBytes }) => wireBytes !== undefined)?.wireBytes ?? 0
  const lines = rows.map(({ step, milliseconds, wireBytes }) => [
    step,
    milliseconds < 1000 ? `${milliseconds.toFixed(1)} ms` : `${(milliseconds / 1000).toFixed(2)} s`,
    ...(wireBytes === undefined ? [] : [number(wireBytes), `${((1 - wireBytes / whole) * 100).toFixed(2)} %`]),
  ])
  return [['step', 'time', 'bytes on wire', 'saved of full'], ...lines]
    .map(([step = '', ...cells]) => step.padEnd(33) + cells.map((cell) => cell.padStart(15)).join(''))
    .join('\n')
}

function messageOf(fault: unknown): string {
  return fault instanceof Error ? fault.message : String(fault)
}

function count({ byRequest, bySql }: { byRequest: number; bySql: number }): number {
  return byRequest + bySql
}

function number(value: number): string {
  return value.toLocaleString('en-US')
}
