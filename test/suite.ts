import { globSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { isFull, sized } from './size.ts'

/** How often a property is checked, unless the test says it. A failure prints the seed that repeats it. */
fc.configureGlobal({ numRuns: sized(25, 100) })

/** The folders whose tests without a database have lanes of their own, as patterns. */
const OTHER_UNITS = 'lanes|generators|passwords|systems|client|export|import|pull|sync|http'

/**
 * Each lane is a process that runs the test files matching its patterns, one after the other. A process takes 0.6 s of CPU time to
 * load tap, the service and its packages, and more until V8 has compiled them. So there are few lanes, those with a database with
 * 10 to 15 s of CPU time each. They start in this order, which the numbers in test/lanes/ repeat, because tap sorts by name. First come
 * the lanes that mostly wait, last those that compute most of the time. So both cores are busy until the end: in alphabetical order
 * a run takes 8 % longer. test/lanes.test.ts checks the numbers, and that no file is left out.
 */
export const LANES = {
  import: ['{import,leases,lifecycle,passwords}/*.pg.test.ts'],
  replica: ['{replica,sync,targets}/*.pg.test.ts'],
  sinks: ['{sinks,systems}/*.pg.test.ts'],
  app: [
    '{app,kubernetes,memory-guard,npm-start,run-record,service-start}.pg.test.ts',
    '{audit,metrics,pools,stats,templates,tracing,users}/*.pg.test.ts',
  ],
  pull: ['{cli,client,examples,jobs,package,pull}/*.pg.test.ts'],
  'unit-waiting': ['http/{overload,answer-budget}.test.ts'],
  'unit-clients': ['{client,pull}/**/!(*.pg).test.ts'],
  'unit-http': ['http/**/!(*.pg|overload|answer-budget).test.ts'],
  faults: ['{faults,proxies}/*.pg.test.ts'],
  database: ['{citus,database,standbys,statements}/*.pg.test.ts', 'database/driver-patch.test.ts'],
  unit: [`{!(${OTHER_UNITS}),!(${OTHER_UNITS})/**}/!(*.pg|driver-patch).test.ts`, '!(*.pg).test.ts'],
  batches: ['batches/*.pg.test.ts'],
  http: ['{http,page}/*.pg.test.ts'],
  'unit-data': ['{export,generators,import,passwords,sync,systems}/**/!(*.pg).test.ts'],
  export: ['export/**/*.pg.test.ts'],
} satisfies Record<string, string[]>

/**
 * Files that run at full size only: faults, crashes and real systems of which a smaller sister runs in both sizes. A file that is
 * named on the command line runs in both.
 */
export const FULL_ONLY: Record<string, string> = {
  'batches/crash.pg.test.ts': 'faults/interrupted-batch, faults/cut-connections',
  'citus/citus.pg.test.ts': 'statements/sql-forms, database/distributed-form, export/state-capture',
  'cli/node-20.pg.test.ts': 'cli/commands, pull/kill',
  'examples/leases.pg.test.ts': 'leases/clients, leases/simple-table-server',
  'faults/disk-full.pg.test.ts': 'database/embedded, export/cache',
  'faults/fuzz.pg.test.ts': 'http/input, http/error-responses, http/empty-body',
  'faults/no-connection-left.pg.test.ts': 'export/admission, database/driver-pool',
  'faults/server-gone.pg.test.ts': 'faults/cut-connections',
  'faults/stopped-replica.pg.test.ts': 'database/driver-server, faults/cut-connections',
  'faults/unreachable.pg.test.ts': 'faults/cut-connections, database/driver-server',
  'faults/vanishing-clients.pg.test.ts': 'faults/unread-answers, faults/slow-client',
  'leases/reset-kills.pg.test.ts': 'leases/reset',
  'leases/restart.pg.test.ts': 'leases/races, faults/cut-connections',
  'package/install.pg.test.ts': 'package/manifest, client/follow, client/leases',
  'page/views.pg.test.ts': 'page/page',
  'passwords/real-verifiers.test.ts':
    'passwords/hash-password, passwords/pbkdf2-sha256, passwords/bcrypt, passwords/argon2id',
  'proxies/crowd.pg.test.ts': 'proxies/caches',
  'proxies/move-pool.pg.test.ts': 'proxies/pools, sync/push, replica/rounds',
  'replica/crash.pg.test.ts': 'faults/interrupted-batch, replica/rounds',
  'sinks/better-auth.pg.test.ts': 'systems/better-auth, sinks/faults, sinks/canary',
  'sinks/crash.pg.test.ts': 'sinks/unknown-ends',
  'sinks/django-site.pg.test.ts': 'sinks/django, sinks/canary',
  'sinks/scim-crash.pg.test.ts': 'sinks/unknown-ends, sinks/by-request',
  'sinks/scim-mishaps.pg.test.ts': 'sinks/scim, sinks/by-request',
  'standbys/conflict.pg.test.ts': 'standbys/standbys',
  'standbys/storm.pg.test.ts': 'standbys/standbys, standbys/took-over',
  'sync/two-services.pg.test.ts': 'sync/push, faults/interrupted-batch',
  'systems/real-imports.pg.test.ts': 'systems/django, systems/ldif, systems/better-auth',
  'tracing/collector-faults.pg.test.ts': 'tracing/spans',
}

let current: Test = t

/**
 * The test object of a test file: a subtest of the lane that runs the file, or tap's root if the file runs alone. Its
 * teardowns run after the file's last test, so the services of one file stop before the next file starts.
 */
export const suite = (): Test => current

/** The test files of a lane, relative to test/, in alphabetical order. */
export const filesOf = (lane: keyof typeof LANES): string[] =>
  globSync(LANES[lane], { cwd: import.meta.dirname }).toSorted()

/** Runs a lane in this process. */
export async function runLane(lane: keyof typeof LANES): Promise<void> {
  for (const file of filesOf(lane).filter((file) => isFull || !FULL_ONLY[file])) {
    await t.test(file, async (subtest) => {
      current = subtest
      await import(pathToFileURL(resolve(import.meta.dirname, file)).href)
    })
  }
}
