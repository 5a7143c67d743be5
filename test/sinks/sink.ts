import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { connect } from '../../src/database/connection.ts'
import type { SyncRun } from '../../src/sync/sync-runs.ts'
import { emptyDatabase } from '../database.ts'
import type { Answer, Service } from '../http/service.ts'
import { sharedService } from '../http/shared-service.ts'
import { sized } from '../size.ts'

/** The host of no system, on which the targets of these tests may be. */
export const LISTED_HOST = 'listed.invalid'

/** The service of the tests of sinks, with an empty database. */
export const sinkService = (t: Test) => sharedService(t, { TARGET_HOSTS: LISTED_HOST })

/** A database of a system under test, with its tables. */
export async function startSystem(t: Test, tables: string) {
  const url = await emptyDatabase()
  const sql = connect({ url, schema: 'public', connections: 4, name: 'system' })
  t.teardown(() => sql.end({ timeout: 5 }))
  await sql.unsafe(tables)
  return { url, sql }
}

export type System = Awaited<ReturnType<typeof startSystem>>

/** What a test does with the routes of sinks, in a pool. */
export function sinkRoutes({ call, log }: Pick<Service, 'call'> & { log?: string[] }, pool = 'default') {
  /** The scheduler logs each run that has ended. In another process, nobody sees that. */
  const isLogged = (run: string) => !log || log.some((line) => line.includes(`"run":"${run}"`))

  async function ended(answer: Answer<SyncRun>): Promise<SyncRun> {
    if (answer.status !== 202) throw new Error(`${answer.status}: ${answer.raw}`)
    const deadline = Date.now() + sized(60_000, 300_000)
    for (let n = 1; Date.now() < deadline; n++, await sleep(20)) {
      if (n % 50 > 0 && !isLogged(answer.json.id)) continue
      const { json: run } = await call<SyncRun>('GET', `/v1/sync/runs/${answer.json.id}?pool=${pool}`)
      if (run.finished_at !== null) return run
    }
    throw new Error('the run did not end in time')
  }
  return {
    ended,
    create: (members: Record<string, unknown>) =>
      call<{ url: string; has_key: boolean; errors?: { path: string }[] }>('POST', '/v1/targets', {
        body: { kind: 'postgres', pool, ...members },
      }),
    sync: async (target: string, members = {}) =>
      await ended(await call('POST', '/v1/sync', { body: { pool, target, ...members } })),
    clear: async (target: string) => await ended(await call('POST', `/v1/targets/${target}/clear?pool=${pool}`)),
    failures: async (target: string) =>
      (
        await call<{ items: { code: string; username: string; operation: string; detail: string }[] }>(
          'GET',
          `/v1/targets/${target}/failures?pool=${pool}`,
        )
      ).json.items,
    status: async (target: string) => {
      const { json } = await call<{ items: { target: string; in_step: boolean }[] }>(
        'GET',
        `/v1/sync/status?pool=${pool}`,
      )
      return json.items.find((item) => item.target === target)
    },
    batch: async (count: number, config: object = {}) => {
      const headers = { prefer: 'wait=60' }
      const body = {
        pool,
        count,
        config: { username_pattern: 'u{id}@example.com', password_hash: CHEAP_HASH, ...config },
      }
      const made = await call<{ id: string; status: string }>('POST', '/v1/batches', { body, headers })
      if (made.json.status !== 'completed') throw new Error(`${made.status}: ${made.raw}`)
      return made.json.id
    },
  }
}

/** Costs no time. */
export const CHEAP_HASH = { algorithm: 'pbkdf2_sha256', iterations: 1 }

/** Costs little. */
export const ARGON2ID = { algorithm: 'argon2id', memory_kib: 1_024, iterations: 1 }
