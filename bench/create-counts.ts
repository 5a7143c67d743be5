import type { Sql } from 'postgres'
import { ARGON2ID_COSTS, hashArgon2id } from '../src/passwords/hash-algorithms.ts'
import { inTurns, median, ratioOf } from './bench-rounds.ts'
import type { Surroundings } from './bench-surroundings.ts'
import { makeBatch, WORKERS } from './create-batch.ts'
import { copyCandidate } from './create-copy.ts'
import { emptyTables } from './create-empty.ts'
import { insertAtOnce } from './create-inserts.ts'
import { speed, speedRow } from './create-speed.ts'
import type { Section } from './report-section.ts'
import { count, milliseconds, type Row } from './report-table.ts'

const TURNS = 20
const TARGET = { ratio: 5, milliseconds: 300 }
const MANY = 100_000

/** One request after the other: how long batches of few users take to complete, and the speed of a batch of many. */
export const batchCounts: Section = {
  name: 'counts',
  async measure(surroundings) {
    const latencies = await measureFew(surroundings)
    const speeds = await measureMany(surroundings)
    const { insert1, batch1, insert100, batch100, hashAndInsert100, unhashed100 } = latencies
    const hundred = latencyRow('100 users, request to completed, argon2id', batch100, 'bare INSERT of 100', insert100)
    const target = `≤ ${TARGET.ratio}, < ${TARGET.milliseconds} ms`
    const met = (hundred.ratio ?? Infinity) <= TARGET.ratio && median(batch100) < TARGET.milliseconds
    return {
      rows: [
        latencyRow('1 user, request to completed, argon2id', batch1, 'bare INSERT of 1', insert1),
        { ...hundred, target, met },
        latencyRow('100 users, request to completed, argon2id', batch100, 'hash and INSERT of 100', hashAndInsert100),
        latencyRow('100 users, request to completed, no hash', unhashed100, 'bare INSERT of 100', insert100),
        speedRow(`${count(MANY)} users by POST /v1/batches, ${WORKERS} workers, argon2id`, speeds.batch, {
          name: 'psql \\copy',
          figures: speeds.copy,
        }),
      ],
      raw: { latencies: { unit: 'ms', ...latencies }, speeds: { unit: 'users/s', users: MANY, ...speeds } },
    }
  },
}

async function measureFew(surroundings: Surroundings) {
  await emptyTables(surroundings)
  const sql = surroundings.openConnection()
  const without = { password_hash: { algorithm: 'none' } } as const
  const candidates = {
    insert1: () => insertAtOnce(surroundings, sql, 1),
    batch1: () => makeBatch(surroundings, 1),
    insert100: () => insertAtOnce(surroundings, sql, 100),
    batch100: () => makeBatch(surroundings, 100),
    hashAndInsert100: () => hashAndInsert(surroundings, sql, 100),
    unhashed100: () => makeBatch(surroundings, 100, without),
  }
  try {
    return await inTurns(surroundings, { title: 'few users', rounds: TURNS }, candidates)
  } finally {
    await sql.end({ timeout: 5 })
  }
}

/** The same work without the service: one hash for all users, then one INSERT. */
async function hashAndInsert(surroundings: Surroundings, sql: Sql, users: number): Promise<number> {
  const start = performance.now()
  hashArgon2id('TestPass123!', ARGON2ID_COSTS)
  const hashing = performance.now() - start
  return hashing + (await insertAtOnce(surroundings, sql, users))
}

async function measureMany(surroundings: Surroundings) {
  const { rounds } = surroundings.options
  const copy = await copyCandidate(surroundings, MANY)
  const batch = speed(surroundings, MANY, () => makeBatch(surroundings, MANY))
  const turns = { title: `${count(MANY)} users`, rounds, prepare: () => emptyTables(surroundings) }
  return await inTurns(surroundings, turns, { batch, copy })
}

function latencyRow(what: string, measured: number[], name: string, yardstick: number[]): Row {
  return {
    what,
    ratio: ratioOf(measured, yardstick),
    measured: milliseconds(median(measured)),
    yardstick: `${name}: ${milliseconds(median(yardstick))}`,
  }
}
