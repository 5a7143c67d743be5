import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type postgres from 'postgres'
import { databaseUrl, onServer, readCluster } from './cluster.ts'

interface Test {
  teardown(fn: () => Promise<void>): void
}

const OBJECT_IN_USE = '55006'

/**
 * Creates a database for the caller, migrated in the schema `usersync`, and returns its URL. It is dropped at the end
 * of `t`.
 */
export async function testDatabase(t: Test): Promise<string> {
  const { url, template } = await runningCluster()
  return await createDatabase(t, url, template, template)
}

/** Like `testDatabase`, but without our schema. */
export async function emptyDatabase(t: Test): Promise<string> {
  const { url, template } = await runningCluster()
  return await createDatabase(t, url, template, 'template0')
}

async function runningCluster(): Promise<{ url: string; template: string }> {
  const { url, template } = (await readCluster()) ?? {}
  if (!url || !template) throw new Error('No PostgreSQL for the tests: run them with `npm test`')
  return { url, template }
}

async function createDatabase(t: Test, url: string, prefix: string, template: string): Promise<string> {
  const name = `${prefix}_${randomBytes(6).toString('hex')}`
  await onServer(url, (sql) => cloneWhenFree(sql, name, template))
  t.teardown(() => onServer(url, (sql) => sql`drop database if exists ${sql(name)} with (force)`))
  return databaseUrl(url, name)
}

/**
 * PostgreSQL cannot clone a database while anyone is connected to it. Waits for that to end, for at most 60 s. It copies files, 20 ms of
 * CPU time: with the default strategy it writes every page to the WAL, 70 ms. And such a database takes a third of the time to drop.
 */
async function cloneWhenFree(sql: postgres.Sql, name: string, template: string): Promise<void> {
  const deadline = Date.now() + 60_000
  for (;;) {
    try {
      await sql`create database ${sql(name)} template ${sql(template)} strategy file_copy`
      return
    } catch (error) {
      if ((error as { code?: string }).code !== OBJECT_IN_USE || Date.now() > deadline) throw error
      await sleep(50)
    }
  }
}
