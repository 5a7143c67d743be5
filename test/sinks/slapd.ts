import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client, type Entry } from 'ldapts'
import type { Test } from 'tap'
import { debianProgram } from '../faults/debian-program.ts'
import { freePort } from '../faults/free-port.ts'
import { ARGON2ID } from './sink.ts'

const SLAPD = debianProgram('slapd')

/** For `skip`: why tests with a real directory cannot run here. */
export const NO_SLAPD = SLAPD ? false : 'slapd is not here (Debian: apt-get install slapd)'

const ROOT = { dn: 'cn=admin,dc=example,dc=com', password: 'secret of the directory' }
const BASE = 'dc=example,dc=com'
export const PEOPLE = `ou=people,${BASE}`

/** A user of the directory with its own rights, who has the administrator's password. */
export const WRITER = `cn=writer,${BASE}`

/** What a target on this directory needs besides its url. */
export const LOGIN = {
  kind: 'ldap',
  key: ROOT.password,
  preset: 'inetorgperson',
  mapping: { bind_dn: ROOT.dn, base: PEOPLE },
}

/** What a batch for this directory needs: hashes that OpenLDAP verifies, and that cost little. */
export const HASHES = { password_hash: ARGON2ID }

/** An OpenLDAP server for one test. The port stays the same over restarts. */
export interface Slapd {
  url: string
  port: number
  /** All entries of the directory, by name. */
  entries(): Promise<Entry[]>
  /** Runs a task as its administrator. */
  asAdmin<Result>(task: (client: Client) => Promise<Result>): Promise<Result>
  /** Whether a login succeeds. */
  bind(dn: string, password: string): Promise<boolean>
  /** Sends a signal, and waits for the end of the server if it is one that ends it. */
  signal(name: NodeJS.Signals): Promise<void>
  start(): Promise<void>
  /** Ends it and starts it again with other lines for the database. */
  restart(database: string): Promise<void>
}

interface Options {
  /** Lines of slapd.conf for the database, such as access rules. */
  database?: string
  /** Lines before the database, such as modules and certificates. */
  global?: string
  protocol?: 'ldap' | 'ldaps'
}

/**
 * Starts slapd with entries of its own in a new folder: the people `own1`, who has the user name of a user of ours, and `own2`. It is
 * killed and its folder removed at the end of the test.
 */
export async function startSlapd(
  t: Test,
  { database = '', global = '', protocol = 'ldap' }: Options = {},
): Promise<Slapd> {
  const folder = await mkdtemp(join(tmpdir(), 'usersync-slapd-'))
  const root = join(dirname(SLAPD ?? ''), '..')
  const port = await freePort()
  const url = `${protocol}://127.0.0.1:${port}`
  const schemas = ['core', 'cosine', 'inetorgperson'].map((name) => `include ${root}/../etc/ldap/schema/${name}.schema`)
  const configure = (database: string) =>
    // Committed entries must survive the end of the server, not of the machine, so nothing waits for the disk.
    writeFile(
      join(folder, 'slapd.conf'),
      `${schemas.join('\n')}
modulepath ${root}/lib/ldap
moduleload back_mdb.so
moduleload argon2.so
${global}
database mdb
suffix "${BASE}"
directory ${folder}/data
maxsize 1073741824
dbnosync
rootdn "${ROOT.dn}"
rootpw "${ROOT.password}"
index objectClass,uid,employeeNumber eq
${database}
`,
    )
  await configure(database)
  await mkdir(join(folder, 'data'))
  let server: ChildProcess | undefined
  let ended = Promise.resolve<unknown>(undefined)

  async function start(): Promise<void> {
    server = spawn(SLAPD ?? '', ['-d', '0', '-f', join(folder, 'slapd.conf'), '-h', `${url}/`], { stdio: 'ignore' })
    ended = once(server, 'exit')
    for (const deadline = Date.now() + 20_000; ; await sleep(20)) {
      if (server.exitCode !== null || Date.now() > deadline) throw new Error('slapd does not start')
      const socket = connect(port, '127.0.0.1')
      const isListening = await once(socket, 'connect').then(
        () => true,
        () => false,
      )
      socket.destroy()
      if (isListening) return
    }
  }

  async function signal(name: NodeJS.Signals): Promise<void> {
    server?.kill(name)
    if (name !== 'SIGSTOP' && name !== 'SIGCONT') await ended
  }

  async function asAdmin<Result>(task: (client: Client) => Promise<Result>): Promise<Result> {
    const client = new Client({
      url,
      timeout: 20_000,
      ...(protocol === 'ldaps' && { tlsOptions: { rejectUnauthorized: false } }),
    })
    try {
      await client.bind(ROOT.dn, ROOT.password)
      return await task(client)
    } finally {
      await client.unbind()
    }
  }

  t.teardown(async () => {
    server?.kill('SIGKILL')
    await ended
    await rm(folder, { recursive: true, force: true })
  })
  await start()
  await asAdmin(async (client) => {
    await client.add(BASE, { objectClass: ['dcObject', 'organization'], dc: 'example', o: 'Example' })
    await client.add(PEOPLE, { objectClass: 'organizationalUnit', ou: 'people' })
    await client.add(WRITER, { objectClass: 'person', cn: 'writer', sn: 'writer', userPassword: ROOT.password })
    for (const name of ['own1', 'own2'])
      await client.add(`uid=${name}@example.com,${PEOPLE}`, {
        objectClass: 'inetOrgPerson',
        uid: `${name}@example.com`,
        cn: name,
        sn: name,
        employeeNumber: name,
      })
  })
  return {
    url,
    port,
    asAdmin,
    entries: () =>
      asAdmin(async (client) => {
        const { searchEntries } = await client.search(BASE, { paged: { pageSize: 400 }, timeLimit: 60 })
        return searchEntries.toSorted((a, b) => (a.dn < b.dn ? -1 : 1))
      }),
    async bind(dn, password) {
      const client = new Client({ url, timeout: 20_000 })
      try {
        await client.bind(dn, password)
        return true
      } catch (error) {
        if ((error as { code?: number }).code === 49) return false
        throw error
      } finally {
        await client.unbind()
      }
    },
    signal,
    start,
    async restart(database) {
      await configure(database)
      await signal('SIGTERM')
      await start()
    },
  }
}
