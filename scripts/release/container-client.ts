import { equal } from 'node:assert/strict'
import { request } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { zstdDecompressSync } from 'node:zlib'

/** Waits up to two minutes until the service answers that it is ready. */
export async function untilReady(url: string): Promise<void> {
  const deadline = performance.now() + 120_000
  for (;;) {
    const isReady = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(5000) }).then(
      ({ ok }) => ok,
      () => false,
    )
    if (isReady) return
    if (performance.now() > deadline) throw new Error(`${url} is not ready after two minutes`)
    await sleep(200)
  }
}

type Json = Record<string, unknown>

async function call(url: string, key: string, init: RequestInit): Promise<Json> {
  const headers = {
    authorization: `Bearer ${key}`,
    ...(init.body ? { 'content-type': 'application/json', prefer: 'wait=60' } : {}),
  }
  const answer = await fetch(url, { ...init, headers, signal: AbortSignal.timeout(120_000) })
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${await answer.text()}`)
  return (await answer.json()) as Json
}

export const get = (url: string, key: string, path: string): Promise<Json> => call(url + path, key, {})

export const post = (url: string, key: string, path: string, body: object): Promise<Json> =>
  call(url + path, key, { method: 'POST', body: JSON.stringify(body) })

/** Creates a batch and waits up to a minute for its end. */
export async function createUsers(url: string, key: string, count: number): Promise<void> {
  const { status, created_count: created } = await post(url, key, '/v1/batches', { count })
  equal(`${status} ${created}`, `completed ${count}`)
}

/** The whole export as NDJSON in zstd. */
export async function exportWithZstd(url: string, key: string): Promise<{ lines: number; bytes: number }> {
  const headers = { authorization: `Bearer ${key}`, 'accept-encoding': 'zstd' }
  const sent = request(`${url}/v1/users/export?format=ndjson`, { headers, timeout: 120_000 }).end()
  const answer = await new Promise<import('node:http').IncomingMessage>((resolve, reject) => {
    sent.once('response', resolve).once('error', reject)
  })
  equal(answer.headers['content-encoding'], 'zstd')
  const body = await buffer(answer)
  return { lines: zstdDecompressSync(body).toString().trimEnd().split('\n').length, bytes: body.length }
}
