import { globSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'

/**
 * Each lane is a process that runs the test files matching its patterns, one after the other. A process for each file
 * costs 0.4 s, most of it for loading the same modules again. test/lanes.test.ts checks that no file is left out.
 */
export const LANES = {
  unit: ['{!(lanes|http|pull),!(lanes|http|pull)/**}/!(*.pg).test.ts', '!(*.pg).test.ts'],
  'unit-http': ['{http,pull}/**/!(*.pg).test.ts'],
  faults: ['faults/*.pg.test.ts'],
  replica: ['{replica,targets,sync,sinks}/*.pg.test.ts'],
  pull: ['{pull,jobs,examples}/*.pg.test.ts'],
  export: ['{export,statements}/**/*.pg.test.ts'],
  batches: ['{batches,lifecycle,passwords}/*.pg.test.ts'],
  leases: ['leases/*.pg.test.ts'],
  database: ['{database,import}/*.pg.test.ts'],
  telemetry: ['{metrics,tracing}/*.pg.test.ts', '{memory-guard,kubernetes,npm-start}.pg.test.ts'],
  users: ['{users,pools,stats,audit,templates,http}/*.pg.test.ts', '{app,run-record,service-start}.pg.test.ts'],
} satisfies Record<string, string[]>

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
  for (const file of filesOf(lane)) {
    await t.test(file, async (subtest) => {
      current = subtest
      await import(pathToFileURL(resolve(import.meta.dirname, file)).href)
    })
  }
}
