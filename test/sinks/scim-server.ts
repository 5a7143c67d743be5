import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { CHILD_ENV } from '../child-env.ts'

const SERVER = fileURLToPath(new URL('../../examples/sinks/scim/server.mjs', import.meta.url))

export const TOKEN = 'a-token-for-scim'

/** A user at the SCIM server. */
export interface ScimRow {
  id: number
  external_id: string | null
  username: string
  email: string
  role: string
}

/** A SCIM server in its own process. Its users are in a file, so they survive a restart. */
export interface ScimServer {
  /** The base URL of its API. It stays the same. */
  url: string
  stop(): Promise<void>
  start(settings?: Record<string, string>): Promise<void>
  /** All users, by name. */
  users(): ScimRow[]
  /** Ours: those with an externalId. */
  ours(): Omit<ScimRow, 'id'>[]
  /** Runs a statement on its users, as an administrator there would. */
  sql(text: string, ...values: string[]): void
}

/** Starts a SCIM server that has three users already. */
export async function startScim(t: Test, settings: Record<string, string> = {}): Promise<ScimServer> {
  const store = `${t.testdir()}/users.db`
  let port = '0'
  let child: ReturnType<typeof spawn> | undefined

  async function start(more: Record<string, string> = {}): Promise<void> {
    const env = { ...CHILD_ENV, PORT: port, STORE: store, TOKEN, ...settings, ...more }
    const started = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', SERVER], {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    child = started
    for await (const line of createInterface(started.stdout)) {
      port = /:(\d+)$/.exec(line)?.[1] ?? ''
      return
    }
    throw new Error('the SCIM server did not start')
  }

  async function stop(): Promise<void> {
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }

  await start()
  const db = new DatabaseSync(store, { timeout: 5_000 })
  t.teardown(async () => {
    await stop()
    db.close()
  })
  for (let n = 0; n < 3; n++) {
    db.prepare('insert into users (username, resource) values (?, ?)').run(
      `own${n}@example.com`,
      JSON.stringify({ userName: `own${n}@example.com`, emails: [{ value: 'own' }], roles: [{ value: 'own' }] }),
    )
  }
  const users = () =>
    db
      .prepare(`
        select id, external_id, resource ->> '$.userName' as username, resource ->> '$.emails[0].value' as email,
          resource ->> '$.roles[0].value' as role
        from users order by username collate binary`)
      .all()
      .map((row) => ({ ...row })) as unknown as ScimRow[]
  return {
    url: `http://127.0.0.1:${port}/scim/v2`,
    start,
    stop,
    users,
    ours: () => users().flatMap(({ id: _, ...user }) => (user.external_id === null ? [] : [user])),
    sql: (text, ...values) => void db.prepare(text).run(...values),
  }
}
