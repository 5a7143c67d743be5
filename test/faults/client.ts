import { setTimeout as sleep } from 'node:timers/promises'
import type { Batch } from '../../src/batches/batches.ts'
import { keepAnswer } from '../run-record.ts'

/** A response, and how long it took. */
export interface Answer {
  status: number
  json: Batch & { code?: string }
  retryAfter: string | null
  ms: number
}

/** No request in these tests may take longer, in whatever state the database is. */
export const MAX_DURATION_MS = 20_000

/** Sends a request. Rejects if no response arrives within MAX_DURATION_MS. */
export async function ask(url: string, path: string, body?: object): Promise<Answer> {
  const began = performance.now()
  const answer = await fetch(url + path, {
    method: body ? 'POST' : 'GET',
    signal: AbortSignal.timeout(MAX_DURATION_MS),
    ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  })
  const text = await answer.text()
  keepAnswer(answer.status, Object.fromEntries(answer.headers), text)
  const json = (text.startsWith('{') && !text.includes('\n') ? JSON.parse(text) : {}) as Answer['json']
  return { status: answer.status, json, retryAfter: answer.headers.get('retry-after'), ms: performance.now() - began }
}

/*
 * How long these functions wait. A slow machine needs a fraction of it, and a fault that they are to find lasts until
 * somebody restarts something.
 */
const READY_TIMEOUT_MS = 60_000
const BATCH_TIMEOUT_MS = 150_000

/** Waits until the service is ready. */
export async function untilReady(url: string): Promise<void> {
  const deadline = Date.now() + READY_TIMEOUT_MS
  while ((await ask(url, '/readyz')).status !== 200) {
    if (Date.now() > deadline) throw new Error('the service did not become ready')
    await sleep(50)
  }
}

/** Requests a batch of `count` users, again while the service is busy, and returns its id. */
export async function beginBatch(url: string, count: number, config: object = {}): Promise<string> {
  for (const deadline = Date.now() + READY_TIMEOUT_MS; ; await sleep(200)) {
    const { status, json } = await ask(url, '/v1/batches', { count, config })
    if (status === 202) return json.id
    if (status !== 503 || Date.now() > deadline) throw new Error(`no batch: ${status} ${json.code}`)
  }
}

/** Waits until the batch has created more users than it has now. */
export async function untilMoving(url: string, id: string): Promise<void> {
  const before = (await ask(url, `/v1/batches/${id}`)).json.created_count
  for (const deadline = Date.now() + READY_TIMEOUT_MS; Date.now() < deadline; await sleep(10)) {
    const { created_count, finished_at } = (await ask(url, `/v1/batches/${id}`)).json
    if (finished_at !== null) throw new Error('the batch ended before the test could interfere')
    if (created_count > before) return
  }
  throw new Error('the batch creates no users')
}

/** Waits until the batch has ended; tolerates 503 meanwhile. */
export async function untilEnded(url: string, id: string): Promise<Batch> {
  for (const deadline = Date.now() + BATCH_TIMEOUT_MS; Date.now() < deadline; await sleep(50)) {
    const { status, json } = await ask(url, `/v1/batches/${id}`)
    if (status === 200 && json.finished_at !== null) return json
  }
  throw new Error('the batch did not end')
}
