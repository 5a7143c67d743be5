import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { KEYS } from '../client.ts'
import type { EventOf, Form } from '../events.ts'
import { createRandom, type Random } from '../random.ts'
import { HOT } from '../setup.ts'
import type { World } from '../world.ts'
import { anyReplica } from './batches.ts'

const TYPES: Record<Form, string> = { json: 'application/json', ndjson: 'application/x-ndjson', csv: 'text/csv' }

/** The interval between the bytes of a slow client, so that it never counts as silent. */
const DRIP_MS = 2_000

/**
 * Sends an import: at once, slowly, without ever finishing, or with a disconnect. Imports that update contain contended
 * users, some of them twice, so that the service writes the first before the rest has arrived.
 */
export async function importUsers(world: World, event: EventOf<'import'>): Promise<void> {
  const { pool, form, mode, manner, rows, ms, seed } = event
  const { report, storm } = world
  const random = createRandom(seed)
  const text = bodyOf(form, makeRows(random, seed, rows, pool === 'default' && mode === 'update'))
  const half = Math.floor(text.length / 2)
  const sent = request(
    `${anyReplica(world, seed).url}/v1/users/import?pool=${pool}&on_conflict=${mode}&label=${seed}`,
    {
      method: 'POST',
      headers: { authorization: `Bearer ${KEYS.writer.secret}`, 'content-type': TYPES[form] },
    },
  )
  const over = AbortSignal.any([storm, AbortSignal.timeout(manner === 'whole' ? 120_000 : ms)])
  const answered = Promise.withResolvers<number>()
  sent.on('response', (response) => {
    response
      .resume()
      .on('end', () => answered.resolve(response.statusCode ?? 0))
      .on('error', () => answered.resolve(0))
  })
  sent.on('error', () => answered.resolve(0)).on('close', () => answered.resolve(0))
  if (manner === 'whole') {
    sent.end(text)
  } else {
    sent.write(text.slice(0, half))
    for (let at = half; manner !== 'vanish' && !over.aborted && !sent.destroyed; at++) {
      await sleep(manner === 'stall' ? DRIP_MS : 50, undefined, { signal: over }).catch(() => {})
      if (!sent.destroyed) sent.write(text.slice(at, at + 1))
      if (manner === 'trickle' && at >= half + 20) {
        sent.end(text.slice(at + 1))
        break
      }
    }
    if (!sent.writableEnded) sent.destroy()
  }
  const given = new Promise<number>((resolve) => over.addEventListener('abort', () => resolve(-1), { once: true }))
  report.count(`imports ${manner} ${await Promise.race([answered.promise, given])}`)
  sent.destroy()
}

type Row = { username: string; role: string; custom_attributes?: object }

function makeRows(random: Random, seed: number, count: number, hot: boolean): Row[] {
  const rows: Row[] = Array.from({ length: count }, (_, n) => ({
    username: `import-${seed}-${n}@example.com`,
    role: random.pick(['user', 'tester']),
    custom_attributes: { n, amount: random.int(1, 999) / 10 },
  }))
  if (!hot) return rows
  const role = `r${seed}`
  return [...HOT, ...HOT.slice(0, 3)].map((username): Row => ({ username, role })).concat(rows)
}

function bodyOf(form: Form, rows: Row[]): string {
  if (form === 'json') return JSON.stringify(rows)
  if (form === 'ndjson') return rows.map((row) => `${JSON.stringify(row)}\n`).join('')
  return `username,role\n${rows.map(({ username, role }) => `${username},${role}\n`).join('')}`
}
