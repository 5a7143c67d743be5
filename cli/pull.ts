import { PULL_OPTIONS } from '../src/pull/options.ts'
import { command } from './command.ts'
import { DEFAULT_URL } from './connection.ts'

/** `usersync pull`. */
export const pull = command({
  summary: 'keeps a file in step with the users of a service',
  options: PULL_OPTIONS,
  hasOwnParser: true,
  details:
    'FILE is always a complete export of one state, whatever ends the command. Beside it are FILE.base, from which the next round continues, and FILE.lock. HTTPS_PROXY, HTTP_PROXY and NO_PROXY are respected; loopback never uses a proxy. From exit code 2 to 7 FILE is unchanged.',
  examples: [
    'usersync pull --out users.csv',
    'usersync pull --out users.csv --include password --every 30s',
    'usersync pull --out part.ndjson --shard 0/10 --url http://host:3000',
  ],
  async run({ args, program }) {
    const { runPull } = await import('../src/pull/run-pull.ts')
    return await runPull(['--url', program.env['USERSYNC_URL'] || DEFAULT_URL, ...args], program) // the last --url counts
  },
})
