import { execFile, execFileSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { parseDatabaseUrl } from '../../src/database/database-url.ts'
import { psqlEnvironment } from '../../src/database/psql.ts'
import { CHILD_ENV } from '../child-env.ts'
import { readCluster } from '../cluster.ts'
import { testDatabase } from '../database.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()

const PROJECT = fileURLToPath(new URL('../..', import.meta.url))

interface Result {
  stdout: string
  stderr: string
  /** The exit code, unless it is 0. */
  code?: number
}

/** What `npm run psql` runs. npm costs 0.3 s of CPU time. */
const PROGRAM = [process.execPath, '--require', './src/preload.cjs', 'src/psql.ts']

/** Runs the program with these arguments, or another command of this project. */
async function psql(env: NodeJS.ProcessEnv, args: string[], command = PROGRAM): Promise<Result> {
  const [program = '', ...before] = command
  const options = { cwd: PROJECT, env: { ...CHILD_ENV, ...env } }
  return await promisify(execFile)(program, [...before, ...args], options).catch((error: Result) => error as Result)
}

function psqlIsMissing(): string | false {
  try {
    execFileSync('psql', ['--version'])
    return false
  } catch {
    return 'psql is not installed here'
  }
}

const skip = psqlIsMissing()
const dataDir = (await readCluster())?.dataDir

t.test(
  'npm run psql queries the database of DATABASE_URL in the schema, and passes arguments on',
  { skip },
  async (t) => {
    const DATABASE_URL = await testDatabase()
    const query = `select format('%s %s', count(*), 'it''s "$HOME"') from users`
    const program = sized(PROGRAM, ['npm', 'run', '--silent', 'psql', '--'])
    const { stdout, stderr, code } = await psql({ DATABASE_URL }, ['-XAtc', query], program)
    t.strictSame({ stdout, stderr, code }, { stdout: `0 it's "$HOME"\n`, stderr: '', code: undefined })

    const wrong = await psql({ DATABASE_URL }, ['-XAtc', 'select from nothing'])
    t.match(wrong, { code: 1, stderr: /relation "nothing" does not exist/ })
  },
)

t.test('the arguments of psql contain no password', { skip }, async (t) => {
  const url = new URL(await testDatabase())
  url.password ||= 'secret' // a server that trusts everyone
  const { stdout } = await psql({ DATABASE_URL: url.href }, ['-XAt', '-c', String.raw`\! ps -ww -o args= -p $PPID`])
  t.match(stdout, /psql -XAt -c/)
  t.notMatch(stdout, url.password)
})

t.test('psql finds the embedded database that runs', { skip: skip || !dataDir }, async (t) => {
  const query = `select concat_ws(' ', current_user, current_database(), current_setting('search_path'))`
  const { stdout } = await psql({ DATA_DIR: dataDir, DB_SCHEMA: 'other' }, ['-XAtc', query])
  t.equal(stdout, 'usersync_service usersync other,pg_temp\n')
})

t.test('without a server or psql, one line says what to do, and nothing is created', async (t) => {
  const missing = join(t.testdir(), 'missing')
  const noServer = 'start the service with this DATA_DIR, or set DATABASE_URL\n'
  for (const DATA_DIR of [t.testdirName, missing]) {
    const { stderr, code } = await psql({ DATA_DIR }, ['-l'])
    t.strictSame({ stderr, code }, { stderr: `no embedded PostgreSQL runs on ${DATA_DIR}: ${noServer}`, code: 2 })
  }
  t.throws(() => execFileSync('ls', [missing], { stdio: 'ignore' }))

  const env = { PATH: dirname(process.execPath), DATABASE_URL: 'postgres://localhost:1/none' }
  const { stderr, code } = await psql(env, [])
  t.match({ stderr, code }, { stderr: /^psql is not installed: install the client of PostgreSQL.*\n$/, code: 2 })
})

t.test('psql connects as the service does', (t) => {
  const environment = (url: string) => psqlEnvironment(parseDatabaseUrl(url), 'usersync')
  const all =
    'postgres://ada:s%40crt@one:1,two:2/db?sslmode=verify-full&sslcert=c&sslkey=k&connect_timeout=7&options=-c%20jit%3Doff'
  t.strictSame(environment(all), {
    PGHOST: 'one,two',
    PGPORT: '1,2',
    PGUSER: 'ada',
    PGPASSWORD: 's@crt',
    PGDATABASE: 'db',
    PGSSLMODE: 'verify-full',
    PGSSLROOTCERT: 'system', // the service trusts the CAs of the machine too
    PGSSLCERT: 'c',
    PGSSLKEY: 'k',
    PGCONNECT_TIMEOUT: '7',
    PGTARGETSESSIONATTRS: 'read-write',
    PGOPTIONS: '-c jit=off -c search_path=usersync,pg_temp',
    PGSERVICE: undefined,
    PGHOSTADDR: undefined,
  })
  t.strictSame(environment('postgres:///?require_auth=scram-sha-256'), {
    PGSSLMODE: 'prefer',
    PGREQUIREAUTH: 'scram-sha-256',
    PGOPTIONS: '-c search_path=usersync,pg_temp',
    PGSERVICE: undefined,
    PGHOSTADDR: undefined,
  })
  t.end()
})
