// `npm run torture -- --seed N --minutes M`: the whole product under a random, recorded schedule. See docs/torture.md.

import { readFile, writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { makeFollowers } from './actors/followers.ts'
import { startPulls } from './actors/pulls.ts'
import type { Event } from './events.ts'
import { checkBatches, checkDatabase, checkLeases, checkReady, checkTargets } from './invariants.ts'
import { checkNothingLeft, checkResources, deleteAll } from './leftovers.ts'
import { type Finding, INVARIANTS, Report } from './report.ts'
import { makeSchedule } from './schedule.ts'
import { playStorm } from './storm.ts'
import { startWatch } from './watch.ts'
import { makeWorld } from './world.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1e6)) },
    minutes: { type: 'string', default: '1' },
    service: { type: 'string', default: fileURLToPath(new URL('../..', import.meta.url)) },
    record: { type: 'string' },
    replay: { type: 'string' },
    'keep-going': { type: 'boolean', default: false },
  },
})

const seed = Number(values.seed)
const minutes = Number(values.minutes)
/** A round is a storm of events and faults, and a calm in which everything must recover. */
const stormMs = minutes < 3 ? 40_000 : 60_000
const MIN_CALM_MS = 10_000
const planned = Math.max(1, Math.floor((minutes * 60_000) / (stormMs + MIN_CALM_MS)))
const events = values.replay ? await readEvents(values.replay) : makeSchedule(seed, planned, stormMs)
const rounds = 1 + (events.at(-1)?.round ?? 0)
if (values.record) await writeFile(values.record, events.map((event) => `${JSON.stringify(event)}\n`).join(''))

const print = (text: string) => void process.stdout.write(`${text}\n`)
const report = new Report()
report.onFinding = printFinding
print(`seed ${seed}, ${rounds} rounds, ${events.length} events, service ${values.service}`)

const world = await makeWorld(resolve(values.service), report)
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void world.close().finally(() => process.exit(130)))
}
try {
  const watch = startWatch(world)
  const followers = makeFollowers(world, seed)
  const pulls = startPulls(world)
  for (let round = 0; round < rounds; round++) {
    report.round = round
    report.roundStartedAt = Date.now()
    await playStorm(world, {
      events: events.filter((event) => event.round === round),
      followers,
      pulls,
      stormMs,
    })
    const stormEnded = Date.now()
    await checkReady(world)
    await checkBatches(world)
    await checkTargets(world)
    await checkLeases(world)
    await checkDatabase(world)
    await Promise.all([...followers, ...pulls].map((client) => client.settle()))
    await deleteAll(world)
    await checkNothingLeft(world)
    await checkResources(world)
    const seconds = (since: number) => Math.round((Date.now() - since) / 1000)
    print(`round ${round} over after ${seconds(report.startedAt)} s, ${seconds(stormEnded)} s of it since the storm`)
    if (report.findings.size > 0 && !values['keep-going']) break
    if (Date.now() - report.startedAt > minutes * 60_000) break
  }
  watch.stop()
  await Promise.all(pulls.map((pull) => pull.end()))
} finally {
  await world.close()
}
process.exit(summarize())

function printFinding({ invariant, detail, round, atMs, runMs }: Finding): void {
  print(`\nFINDING ${invariant}: ${INVARIANTS[invariant]}.`)
  print(
    `  seed ${seed}, round ${round}, ${(atMs / 1000).toFixed(1)} s into the round, ${(runMs / 1000).toFixed(0)} s after the start`,
  )
  print(`  ${detail}`)
  print('  the schedule of this round up to this point:')
  for (const event of events) if (event.round === round && event.at <= atMs) print(`    ${JSON.stringify(event)}`)
}

/** Prints what was done, so that a run that did nothing is noticed. Returns the exit code. */
function summarize(): number {
  print('')
  for (const what of [
    'events',
    'requests',
    'followed',
    'batches',
    'users',
    'imports',
    'sql',
    'leases',
    'pushes',
    'targets',
    'processes',
    'ready',
    'failed',
  ]) {
    print(`${what}: ${report.line(what)}`)
  }
  for (const { invariant, times, runMs } of report.findings.values())
    print(`FINDING ${invariant}, ${times} times, first after ${Math.round(runMs / 1000)} s`)
  const least = { requests: 200, followed: 20, batches: 5, users: 200, sql: 3, leases: 10, targets: 2 }
  const idle = Object.entries(least).filter(([what, count]) => report.total(what) < count * (report.round + 1))
  for (const [what, count] of idle)
    print(`too little was done: ${what} ${report.total(what)}, expected at least ${count} per round`)
  print(report.findings.size === 0 && idle.length === 0 ? 'no findings' : `seed ${seed} failed`)
  return report.findings.size === 0 && idle.length === 0 ? 0 : 1
}

async function readEvents(file: string): Promise<Event[]> {
  const lines = (await readFile(file, 'utf8')).trim().split('\n')
  return lines.map((line) => JSON.parse(line) as Event)
}
