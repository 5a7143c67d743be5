import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type postgres from 'postgres'
import { databaseUrl, onServer, readCluster } from './cluster.ts'

const OBJECT_IN_USE = '55006'

/* The databases stay until the end of the run, when their server is removed: to drop them slows down the next ones (server-folder.ts). */

/** Creates a database for the caller, migrated in the schema `usersync`, and returns its URL. */
export async function testDatabase(): Promise<string> {
  const { url, template } = await runningCluster()
  return await createDatabase(url, template, template)
}

/** Like `testDatabase`, but without our schema. */
export async function emptyDatabase(): Promise<string> {
  const { url, template } = await runningCluster()
  return await createDatabase(url, template, 'template0')
}

async function runningCluster(): Promise<{ url: string; template: string }> {
  const { url, template } = (await readCluster()) ?? {}
  if (!url || !template) throw new Error('No PostgreSQL for the tests: run them with `npm test`')
  return { url, template }
}

async function createDatabase(url: string, prefix: string, template: string): Promise<string> {
  const name = `${prefix}_${randomBytes(6).toString('hex')}`
  await onServer(url, (sql) => cloneWhenFree(sql, name, template))
  return databaseUrl(url, name)
}

/**
 * PostgreSQL cannot clone a database while anyone is connected to it. Waits for that to end, for at most 60 s. It copies
 * files, 15 ms of CPU time: with the default strategy it also writes every page to the WAL, 30 ms.
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
