import { deepEqual, equal, ok } from 'node:assert/strict'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { launcherOf, run } from './command.ts'
import type { Place } from './keep-in-step.ts'
import type { Recorder, Seen } from './recorder.ts'
import type { Row } from './users.ts'

export interface Tool {
  name: string
  command: string
  args(target: Recorder, users: string): string[]
  /** Resolves when the tool may be stopped, if it does not exit on its own. */
  enough?(target: Recorder): Promise<void>
  /** Throws if the users in `names` were not used as the example promises. */
  check(seen: Seen, names: string[]): void
}

const example = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url))

const eachOnce = ({ requests }: Seen) => deepEqual(new Set(requests.values()), new Set([1]), 'each user once')

export const AUTOCANNON: Tool = {
  name: 'autocannon',
  command: process.execPath,
  args: ({ url }, users) => [example('autocannon/run.mjs'), url, users, '1'],
  check({ requests }) {
    const counts = [...requests.values()]
    ok(Math.max(...counts) - Math.min(...counts) <= 1, 'users in turn')
  },
}

export const LOCUST: Tool = {
  name: 'locust',
  command: 'locust',
  args: ({ url }) => {
    const load = ['--headless', '--users', '20', '--spawn-rate', '20', '--run-time', '20s']
    return ['--locustfile', example('locust/locustfile.py'), ...load, '--host', url]
  },
  // Its run time starts before the file is loaded, which may take most of a short one.
  enough: (target) => target.sees(20),
  check: ({ requests }) => equal(requests.size, 20, 'a user for each simulated user'),
}

export const JMETER: Tool = {
  name: 'jmeter',
  command: 'jmeter',
  args: ({ port }, users) => {
    const properties = ['-Jhost=127.0.0.1', `-Jport=${port}`, `-Jusers=${users}`]
    return ['-n', '-t', example('jmeter/users.jmx'), '-l', 'results.jtl', '-j', 'jmeter.log', ...properties]
  },
  check(seen, names) {
    eachOnce(seen)
    equal(seen.requests.size, names.length, 'every user')
  },
}

export const ARTILLERY: Tool = {
  name: 'artillery',
  command: 'artillery',
  args: ({ url }, users) => ['run', '--payload', users, '--target', url, example('artillery/users.yml')],
  check: eachOnce,
}

/**
 * Runs a tool with the users in users.csv. Returns the reason if it cannot run at all; throws if the example is wrong.
 */
export async function checkTool(
  { name, command, args, enough, check }: Tool,
  target: Recorder,
  users: Row[],
  { folder, signal }: Place,
): Promise<string | undefined> {
  const launcher = command === process.execPath ? [command] : await launcherOf(command)
  if (!launcher) return 'not installed'
  const [program = '', ...first] = launcher
  target.take()
  const env = { ARTILLERY_DISABLE_TELEMETRY: 'true' }
  const { code, output, errors } = await run(program, [...first, ...args(target, join(folder, 'users.csv'))], {
    cwd: folder,
    env,
    signal,
    ...(enough && { enough: enough(target) }),
  })
  equal(code, 0, `${name} exited with ${code}\n${output}${errors}`)

  const seen = target.take()
  const names = users.map(({ username = '' }) => username)
  ok(seen.requests.size > 0, `${name} sent nothing\n${output}${errors}`)
  deepEqual([...new Set(seen.requests.keys()).difference(new Set(names))], [], 'users that are not in the export')
  deepEqual([...seen.doubled], [], 'users used twice at once')
  check(seen, names)
  return undefined
}
