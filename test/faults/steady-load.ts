import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Batch } from '../../src/batches/batches.ts'
import { applyExport, type Held } from '../export/apply-export.ts'

/** The result of the load. */
export interface LoadReport {
  /** Responses by request and status, such as `export 304`. */
  answers: Record<string, number>
  /** A line for each failed request. */
  failures: string[]
  /** The states of the clients that followed the pool of the small batches by deltas. */
  held: Held[]
  /** The number of users of each accepted batch, by its id. */
  batches: Record<string, number>
}

export interface Load {
  /** Starts no further requests, waits for all batches, and lets the followers export once more. */
  end(): Promise<LoadReport>
}

const USERS_A_BATCH = 5

const MAX_DURATION_MS = 60_000
const MAX_BATCH_MS = 120_000

/**
 * Steady use of the service at `url` on keep-alive connections: followers, listings and small batches in the pool
 * `small`, and full exports of the default pool.
 */
export function startSteadyLoad(url: string): Load {
  const report: LoadReport = { answers: {}, failures: [], held: [], batches: {} }
  let over = false

  async function send(what: string, path: string, init: RequestInit = {}): Promise<{ status: number; text: string }> {
    for (const deadline = Date.now() + MAX_DURATION_MS; ; await sleep(1_000)) {
      try {
        const answer = await fetch(url + path, { ...init, signal: AbortSignal.timeout(MAX_DURATION_MS) })
        const text = await answer.text()
        const outcome = `${what} ${answer.status}`
        report.answers[outcome] = (report.answers[outcome] ?? 0) + 1
        // Busy machines can cause `overloaded`, which has nothing to do with a restart.
        if (answer.status === 503 && text.includes(':overloaded"') && Date.now() < deadline) continue
        if (!answer.ok && answer.status !== 304) report.failures.push(`${outcome} ${text.slice(0, 200)}`)
        return { status: answer.status, text }
      } catch (error) {
        report.failures.push(`${what} ${error} ${(error as Error).cause ?? ''}`)
        return { status: 0, text: '' }
      }
    }
  }

  async function follow(): Promise<void> {
    let held: Held = { state: undefined, lines: new Map() }
    const look = async () => {
      const { status, text } = await send('export', '/v1/users/export?pool=small&format=ndjson', {
        headers: held.state === undefined ? {} : { 'if-none-match': `W/"${held.state}"` },
      })
      if (status === 200) held = applyExport(held, text).held
    }
    while (!over) {
      await look()
      await sleep(50)
    }
    await Promise.all(makers)
    await look()
    report.held.push(held)
  }

  async function list(): Promise<void> {
    while (!over) {
      await send('listing', '/v1/users?pool=small&limit=20&sort=username')
      await sleep(50)
    }
  }

  async function download(): Promise<void> {
    while (!over) {
      const { status, text } = await send('download', '/v1/users/export?format=ndjson')
      if (status === 200 && !/\n\{"end":.*\}\n$/.test(text.slice(-200))) report.failures.push('a download was cut')
      await sleep(500)
    }
  }

  async function make(): Promise<void> {
    while (!over) {
      const { status, text } = await send('creation', '/v1/batches', {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'idempotency-key': randomUUID(), prefer: 'wait=5' },
        body: JSON.stringify({ count: USERS_A_BATCH, pool: 'small', config: { password_hash: { algorithm: 'none' } } }),
      })
      if (status === 201 || status === 202) await untilEnded(JSON.parse(text).id)
      await sleep(50)
    }
  }

  async function untilEnded(id: string): Promise<void> {
    report.batches[id] = USERS_A_BATCH
    for (const deadline = Date.now() + MAX_BATCH_MS; Date.now() < deadline; await sleep(100)) {
      const { status, text } = await send('batch', `/v1/batches/${id}?pool=small`)
      if (status === 200 && (JSON.parse(text) as Batch).finished_at !== null) return
    }
    report.failures.push(`a batch of ${USERS_A_BATCH} did not end`)
  }

  const makers = [make(), make()]
  const others = [follow(), follow(), list(), list(), download()]
  return {
    async end() {
      over = true
      await Promise.all([...makers, ...others])
      return report
    },
  }
}
