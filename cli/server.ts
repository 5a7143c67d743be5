import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { constants } from 'node:os'
import { dirname, extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { JOB_DESCRIPTIONS } from '../src/jobs/descriptions.ts'
import { type Parameters, TYPES } from '../src/jobs/parameters.ts'
import { command } from './command.ts'

/* The commands that run a program of the server, in a process of its own: it needs another Node, and flags of Node. */

/** The oldest Node that runs the server. */
const SERVER_NODE = 24

const SETTINGS =
  'The settings are environment variables: PORT, HOST, DATA_DIR, DATABASE_URL, API_KEYS and others, in docs/configuration.md.'

/** `usersync serve`. */
export const serve = command({
  summary: 'runs the service',
  details: `${SETTINGS} Without DATABASE_URL it runs its own PostgreSQL, in DATA_DIR.`,
  examples: ['usersync serve', 'PORT=8000 DATA_DIR=/var/lib/usersync usersync serve'],
  run: () => runServerProgram('server', [], ['--min-semi-space-size=4']), // as `npm start`
})

/** `usersync job`. */
export const job = command({
  summary: 'runs a job for a scheduler, on the database of the service',
  args: { NAME: '', '[--PARAMETER VALUE]...': '' },
  hasOwnParser: true,
  details: `${SETTINGS} The same job with the same parameters is the same run: give a daily job its --date. Exit code 3: it runs in another process.\n\nJobs:\n${jobs()}`,
  examples: ['usersync job expire --date 2026-01-31', 'usersync job verify-states --date "$(date +%F)"'],
  run: ({ args }) => runServerProgram('job', args),
})

/** `usersync psql`. */
export const psql = command({
  summary: 'opens psql on the database of the service, in its schema',
  args: { '[-- ARGUMENT]...': 'arguments of psql' },
  hasOwnParser: true,
  details: `${SETTINGS} The embedded PostgreSQL must be running. psql is no part of usersync.`,
  examples: ['usersync psql', "usersync psql -- -c 'select count(*) from users'"],
  run: ({ args }) => runServerProgram('psql', args[0] === '--' ? args.slice(1) : args),
})

function jobs(): string {
  return Object.entries(JOB_DESCRIPTIONS)
    .flatMap(([name, { description, parameters }]) => [
      `  ${name}`,
      `    ${description}`,
      ...Object.entries(parameters as Parameters).map(([parameter, { type, isRequired, description }]) => {
        const option = `    --${parameter.replaceAll('_', '-')} ${TYPES[type].form}`
        return `${option.padEnd(26)} ${description}${isRequired ? '; required' : ''}`
      }),
    ])
    .join('\n')
}

const require = createRequire(import.meta.url)
const SRC = fileURLToPath(new URL('../src', import.meta.url))

/** Runs `src/<name>` with the server's Node, and returns its exit code. Signals are passed on. */
async function runServerProgram(
  name: 'server' | 'job' | 'psql',
  args: string[],
  flags: string[] = [],
): Promise<number> {
  const program = join(SRC, `${name}${extname(import.meta.url)}`) // .js in the package
  const options = [...flags, '--require', join(SRC, 'preload.cjs'), program, ...args]
  const child = spawn(serverNode(), options, { stdio: 'inherit' })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.removeAllListeners(signal) // the child decides when to end
    process.on(signal, () => (name === 'psql' && signal === 'SIGINT') || child.kill(signal)) // Ctrl-C only cancels a query of psql
  }
  return await new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal ?? 'SIGTERM']))
  })
}

/** Returns the path of a Node that runs the server. Throws if it or the server's packages are missing. */
function serverNode(): string {
  if (!isInstalled('fastify'))
    throw new Error('the server is not installed here: run `npm install usersync` without --omit=optional')
  if (Number.parseInt(process.versions.node, 10) >= SERVER_NODE) return process.execPath
  if (isInstalled('node')) return join(dirname(require.resolve('node/package.json')), 'bin/node')
  throw new Error(
    `the server needs Node ${SERVER_NODE}, and this is ${process.versions.node}: run \`npm install usersync\` without --omit and --ignore-scripts`,
  )
}

function isInstalled(name: string): boolean {
  try {
    return require.resolve(`${name}/package.json`) !== ''
  } catch {
    return false
  }
}
