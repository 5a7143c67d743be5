import { setTimeout as sleep } from 'node:timers/promises'
import { zstdDecompressSync } from 'node:zlib'
import { applyExport, type Held } from '../export/apply-export.ts'
import { NOTHING } from '../export/observe.ts'
import { Connection } from './connection.ts'

/*
 * A process with many clients that follow a pool through a cache: `node crowd.ts '<settings>'`. It sends `ready` when all have the first
 * state, and for each state how many clients have it since when. At the end it applies and checks what they received.
 */

export interface CrowdSettings {
  url: string
  /** The query of the exports, which selects the pool. */
  query: string
  clients: number
  pollMs: number
}

/** What a crowd has seen. */
export interface CrowdReport {
  /** When each client reached each state, in milliseconds since 1970. */
  reached: Record<string, number[]>
  /** Responses that were not expected, with their counts. */
  others: Record<string, number>
  /** The number of different bodies, each of which was checked, or what is wrong with one. */
  checked: number | string
}

const { url, query, clients, pollMs } = JSON.parse(process.argv[2] ?? '') as CrowdSettings

/** The first body of each address. All clients must receive the same, so that one check is enough. */
const bodies = new Map<string, Buffer>()
const reached: Record<string, number[]> = {}
const others: Record<string, number> = {}
const count = (what: string) => {
  others[what] = (others[what] ?? 0) + 1
}
let isOver = false

const stateIn = (body: Buffer) => body.toString('latin1', body.indexOf('u1-'), body.indexOf('u1-') + 67)

function receive(path: string, body: Buffer): void {
  const first = bodies.get(path)
  if (first === undefined) bodies.set(path, body)
  else if (!first.equals(body)) count(`another body at ${path}`)
}

/** Follows the pool from a state, looking at a moment of its own in each interval. */
async function follow(connection: Connection, first: string): Promise<void> {
  let held = first
  await sleep(pollMs * Math.random())
  for (let next = performance.now(); !isOver; ) {
    try {
      const look = await connection.get(`/v1/states/current?${query}`)
      const state = stateIn(look.body)
      if (look.status !== 200) count(`look-up ${look.status}`)
      else if (state !== held) {
        const path = `/v1/exports/${held}/${state}?format=ndjson&${query}`
        const delta = await connection.get(path)
        if (delta.status === 200) {
          receive(path, delta.body)
          held = state
          const times = reached[state]
          const now = performance.timeOrigin + performance.now()
          if (times) times.push(now)
          else reached[state] = [now]
        } else count(`delta ${delta.status}`)
      }
    } catch (error) {
      count(String(error))
    }
    next = Math.max(next + pollMs, performance.now() - pollMs)
    await sleep(Math.max(0, next - performance.now()))
  }
  connection.close()
}

/** Applies every body to the state that it starts from. Returns how many there were, or what is wrong. */
function check(first: Held): number | string {
  const held = new Map([[first.state, first]])
  try {
    for (const [path, body] of bodies) {
      const [, , , base, state] = path.split(/[/?]/)
      const from = held.get(base)
      if (!from) return `nobody had the base of ${path}`
      const applied = applyExport(from, textOf(body)).held
      if (applied.state !== state) return `${path} leads to ${applied.state}`
      held.set(state, applied)
    }
    return bodies.size
  } catch (error) {
    return String(error)
  }
}

const ZSTD = Buffer.from([0x28, 0xb5, 0x2f, 0xfd])
const textOf = (body: Buffer) => (body.subarray(0, 4).equals(ZSTD) ? zstdDecompressSync(body) : body).toString()

const open = () => new Connection(new URL(url), 'Accept-Encoding: zstd\r\n')
const one = open()
const state = stateIn((await one.get(`/v1/states/current?${query}`)).body)
const full = await one.get(`/v1/exports/${state}?format=ndjson&${query}`)
const { held: first } = applyExport(NOTHING, textOf(full.body))
one.close()

const connections = Array.from({ length: clients }, open)
for (const connection of connections) await connection.get(`/v1/states/current?${query}`)
const work = Promise.all(connections.map((connection) => follow(connection, state)))
process.send?.('ready')
const progress = setInterval(
  () => process.send?.(Object.fromEntries(Object.entries(reached).map(([name, { length }]) => [name, length]))),
  200,
)
process.once('message', async () => {
  isOver = true
  await work
  clearInterval(progress)
  const report: CrowdReport = { reached, others, checked: check(first) }
  process.send?.({ report }, () => process.disconnect())
})
