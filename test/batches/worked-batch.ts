import { setTimeout as sleep } from 'node:timers/promises'
import type { Batch } from '../../src/batches/batches.ts'

/* Batches of a server that a test ends while it works on them. */

interface Server {
  url: string
}

/** Sends a GET request, or a POST request with this body. */
export async function call(server: Server, path: string, body?: object): Promise<{ status: number; batch: Batch }> {
  const answer = await fetch(server.url + path, {
    method: body ? 'POST' : 'GET',
    signal: AbortSignal.timeout(30_000),
    ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  })
  return { status: answer.status, batch: (await answer.json()) as Batch }
}

/** Waits until the batch has ended. */
export async function untilEnded(server: Server, id: string): Promise<Batch> {
  for (const deadline = Date.now() + 150_000; Date.now() < deadline; await sleep(50)) {
    const { batch } = await call(server, `/v1/batches/${id}`)
    if (batch.finished_at !== null) return batch
  }
  throw new Error('the batch did not end')
}

/** Waits until the batch has created more users, so that the kill happens in the middle of the work. Returns it. */
export async function untilMoving(server: Server, id: string): Promise<Batch> {
  const before = (await call(server, `/v1/batches/${id}`)).batch.created_count
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; await sleep(5)) {
    const { batch } = await call(server, `/v1/batches/${id}`)
    if (batch.created_count > before || batch.finished_at !== null) return batch
  }
  throw new Error('the batch created no users')
}
