import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Sql } from 'postgres'
import { connect } from '../../src/database/connection.ts'
import { databaseUrl, onServer } from '../cluster.ts'
import { freePort } from '../faults/free-port.ts'
import { type OwnPostgres, startOwnPostgres } from '../faults/own-postgres.ts'
import { Holdings } from '../leases/holdings.ts'
import { API_KEYS, Client } from './client.ts'
import { fairNow } from './clock.ts'
import { startProxy, type Way } from './proxy.ts'
import { Replica } from './replica.ts'
import type { Report } from './report.ts'
import { setUp } from './setup.ts'

/** A batch for which a request was sent, and what is known about it. */
export interface KnownBatch {
  pool: string
  label: string
  id: string
}

/** Everything under test, and its surroundings. */
export interface World {
  report: Report
  client: Client
  folder: string
  service: string
  postgres: OwnPostgres
  /** Plain SQL, not through the proxy. */
  sql: Sql
  /** Plain SQL in the receiver's database. */
  targetSql: Sql
  databaseWay: Way
  targetWay: Way
  /** When the database and the way to it were restored, by the fair clock; undefined during a fault. */
  databaseWellSince: number | undefined
  replicas: [Replica, Replica]
  receiver: Replica
  batches: KnownBatch[]
  /** Who may use which user. */
  holdings: Holdings
  /** Ids of the users in HOT. */
  hotIds: string[]
  /** The protected users at the start. */
  planted: string
  /** Aborted when the faults stop. */
  storm: AbortSignal
  close(): Promise<void>
}

const SETTINGS = {
  API_KEYS,
  ENCRYPTION_KEY: '5e'.repeat(32),
  MAX_WORKERS: '2',
  DRAIN_SECONDS: '5',
  BASE_RETENTION: '90s',
  EXPORT_CACHE_MB: '32',
}

/** Starts everything: a PostgreSQL server, the receiver, and two replicas behind a proxy. */
export async function makeWorld(service: string, report: Report): Promise<World> {
  const closing: (() => Promise<unknown>)[] = []
  const closeAll = async () => {
    for (const close of closing.reverse()) await close().catch((error) => process.stderr.write(`${error}\n`))
  }
  const later = { teardown: (close: () => Promise<void>) => void closing.push(close) }
  try {
    const folder = await mkdtemp(join(tmpdir(), 'usersync-torture-'))
    later.teardown(() => (process.env['KEEP'] ? Promise.resolve() : rm(folder, { recursive: true, force: true })))
    const server = await startOwnPostgres(later, { settings: { max_connections: '150' } })
    const sql = openSql(server.url, 'source', later)
    const targetSql = openSql(server.url, 'target', later)
    await onServer(server.url, async (admin) => {
      for (const name of ['source', 'target']) await admin`create database ${admin(name)}`
    })

    const databaseWay = await startProxy(Number(new URL(server.url).port))
    later.teardown(() => databaseWay.close())
    const make = async (name: string, settings: Record<string, string>) => {
      const replica = await Replica.create(name, {
        service,
        folder,
        port: await freePort(),
        settings: { ...SETTINGS, ...settings },
        report,
      })
      later.teardown(() => replica.end('SIGKILL', Promise.resolve()))
      await replica.run()
      return replica
    }
    const receiver = await make('receiver', { DATABASE_URL: databaseUrl(server.url, 'target') })
    const targetWay = await startProxy(Number(new URL(receiver.url).port))
    later.teardown(() => targetWay.close())
    const throughProxy = Object.assign(new URL(databaseUrl(server.url, 'source')), { port: databaseWay.port }).href
    const replicas: [Replica, Replica] = [
      await make('replica-0', { DATABASE_URL: throughProxy }),
      await make('replica-1', { DATABASE_URL: throughProxy }),
    ]
    const world: World = {
      ...{
        report,
        client: new Client(report),
        folder,
        service,
        postgres: server,
        sql,
        targetSql,
        databaseWay,
        targetWay,
      },
      ...{ databaseWellSince: fairNow(), replicas, receiver, batches: [], hotIds: [], planted: '' },
      holdings: new Holdings((fault) => report.finding('one-holder', fault)),
      storm: AbortSignal.abort(),
      close: closeAll,
    }
    await setUp(world)
    return world
  } catch (error) {
    await closeAll()
    throw error
  }
}

function openSql(url: string, name: string, later: { teardown(close: () => Promise<void>): void }): Sql {
  const sql = connect({ url: databaseUrl(url, name), schema: 'usersync', connections: 6, name: 'torture' })
  later.teardown(() => sql.end({ timeout: 2 }))
  return sql
}
