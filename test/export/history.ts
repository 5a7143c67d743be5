import fc from 'fast-check'
import type { Sql, TransactionSql } from 'postgres'

/** Batches and users of a history have small numbers, so that histories use the same ones again. */
const BATCHES = [1, 2, 3].map((n) => `0000000${n}-0000-7000-8000-000000000000`)
const USERS = 8

const userId = (n: number) => `10000000-0000-7000-8000-00000000000${n}`

/** One SQL statement on `users`. Each is something that a writer may do. */
export type Step =
  | { do: 'insert'; user: number; batch: number | null; test: boolean; bulk: boolean }
  | { do: 'upsert'; user: number; role: string }
  | { do: 'change'; user: number; role: string }
  | { do: 'touch'; user: number }
  | { do: 'respell'; user: number; number: '1.5' | '1.50' }
  | { do: 'move'; from: number | null; to: number | null }
  | { do: 'set test'; user: number; test: boolean }
  | { do: 'set bulk'; user: number; bulk: boolean }
  | { do: 'rename'; user: number; to: number }
  | { do: 'delete'; user: number }
  | { do: 'delete batch'; batch: number }
  | { do: 'delete and insert'; user: number; test: boolean }
  | { do: 'insert a whole row'; user: number; stamp: number }

/** The steps of one transaction. Each `undone` step is between a savepoint and the rollback to it. */
export interface Transaction {
  steps: { step: Step; undone: boolean }[]
  constraintsImmediate: boolean
  commit: boolean
}

const user = fc.integer({ min: 1, max: USERS })
const batch = fc.option(fc.integer({ min: 0, max: 2 }), { freq: 3 })
const role = fc.constantFrom('user', 'admin', 'tester "two"', 'ünï\n☃')

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('insert' as const), user, batch, test: fc.boolean(), bulk: fc.boolean() }),
  },
  fc.record({ do: fc.constant('upsert' as const), user, role }),
  fc.record({ do: fc.constant('change' as const), user, role }),
  fc.record({ do: fc.constant('touch' as const), user }),
  fc.record({ do: fc.constant('respell' as const), user, number: fc.constantFrom('1.5' as const, '1.50' as const) }),
  fc.record({ do: fc.constant('move' as const), from: batch, to: batch }),
  fc.record({ do: fc.constant('set test' as const), user, test: fc.boolean() }),
  fc.record({ do: fc.constant('set bulk' as const), user, bulk: fc.boolean() }),
  fc.record({ do: fc.constant('rename' as const), user, to: user }),
  fc.record({ do: fc.constant('delete' as const), user }),
  fc.record({ do: fc.constant('delete batch' as const), batch: fc.integer({ min: 0, max: 2 }) }),
  fc.record({ do: fc.constant('delete and insert' as const), user, test: fc.boolean() }),
  fc.record({ do: fc.constant('insert a whole row' as const), user, stamp: fc.integer({ min: 0, max: 50 }) }),
)

export const transaction: fc.Arbitrary<Transaction> = fc.record({
  steps: fc.array(fc.record({ step, undone: fc.boolean() }), { minLength: 1, maxLength: 4 }),
  constraintsImmediate: fc.boolean(),
  commit: fc.oneof({ weight: 5, arbitrary: fc.constant(true) }, fc.constant(false)),
})

const at = (index: number | null) => (index === null ? null : (BATCHES[index] ?? null))

/** Runs a step as plain SQL in the pool. `writer` keeps the names and users of two writers apart. */
export async function runStep(sql: Sql | TransactionSql, poolId: number, step: Step, writer = ''): Promise<void> {
  const id = (n: number) => (writer === 'b' ? userId(n).replace(/^1/, '2') : userId(n))
  const name = (n: number) => `u${n}${writer}`
  const mine =
    writer === 'b'
      ? sql`id >= '20000000-0000-0000-0000-000000000000'`
      : sql`id < '20000000-0000-0000-0000-000000000000'`
  const insert = (n: number, batchId: string | null, test: boolean, bulk: boolean) => sql`
    insert into users (pool_id, id, username, email, is_test_user, batch_id, created_by_bulk)
    values (${poolId}, ${id(n)}, ${name(n)}, ${`${name(n)}@example.com`}, ${test}, ${batchId}, ${bulk})
    on conflict do nothing`
  switch (step.do) {
    case 'insert':
      await insert(step.user, at(step.batch), step.test, step.bulk)
      break
    case 'upsert':
      await sql`
        insert into users (pool_id, id, username, email, role)
        values (${poolId}, ${id(step.user)}, ${name(step.user)}, ${`${name(step.user)}@example.com`}, ${step.role})
        on conflict (pool_id, id) do update set role = excluded.role, custom_attributes = '{"n": 1.50, "t": "\\u2028"}'`
      break
    case 'change':
      await sql`update users set role = ${step.role} where pool_id = ${poolId} and id = ${id(step.user)}`
      break
    case 'touch':
      await sql`update users set role = role where pool_id = ${poolId} and id = ${id(step.user)}`
      break
    case 'respell': // equal numbers, but different lines
      await sql`
        update users set custom_attributes = ${`{"n": ${step.number}}`} where pool_id = ${poolId} and id = ${id(step.user)}`
      break
    case 'move':
      await sql`
        update users set batch_id = ${at(step.to)}
        where pool_id = ${poolId} and batch_id is not distinct from ${at(step.from)}::uuid and ${mine}`
      break
    case 'set test':
      await sql`update users set is_test_user = ${step.test} where pool_id = ${poolId} and id = ${id(step.user)}`
      break
    case 'set bulk':
      await sql`update users set created_by_bulk = ${step.bulk} where pool_id = ${poolId} and id = ${id(step.user)}`
      break
    case 'rename':
      await sql`
        update users set id = ${id(step.to)}, username = ${name(step.to)}, email = ${`${name(step.to)}@example.com`}
        where pool_id = ${poolId} and id = ${id(step.user)}
          and not exists (select from users where pool_id = ${poolId} and id = ${id(step.to)})`
      break
    case 'delete':
      await sql`delete from users where pool_id = ${poolId} and id = ${id(step.user)}`
      break
    case 'delete batch':
      await sql`delete from users where pool_id = ${poolId} and batch_id = ${at(step.batch)} and ${mine}`
      break
    case 'delete and insert':
      await sql`delete from users where pool_id = ${poolId} and id = ${id(step.user)}`
      await insert(step.user, null, step.test, false)
      break
    case 'insert a whole row':
      await sql`
        insert into users (pool_id, id, username, email, commit_id, entered_commit_id)
        values (${poolId}, ${id(step.user)}, ${name(step.user)}, ${`${name(step.user)}@example.com`}, ${step.stamp}, ${step.stamp})
        on conflict do nothing`
      break
  }
}

/** Runs a transaction of plain SQL, which commits or rolls back. */
export async function runTransaction(
  sql: Sql,
  poolId: number,
  { steps, constraintsImmediate, commit }: Transaction,
): Promise<void> {
  const connection = await sql.reserve()
  try {
    await connection`begin`
    if (constraintsImmediate) await connection`set constraints all immediate`
    for (const { step, undone } of steps) {
      if (undone) await connection`savepoint before_step`
      await runStep(connection, poolId, step)
      if (undone) await connection`rollback to savepoint before_step`
    }
    if (commit) await connection`commit`
  } finally {
    await connection`rollback` // does nothing after the commit
    connection.release()
  }
}

/** One filter of each kind: the whole pool with each pair of flags, and one batch. */
export const FILTERS = [
  { batchId: undefined, testUsersOnly: true, bulkUsersOnly: false },
  { batchId: undefined, testUsersOnly: false, bulkUsersOnly: false },
  { batchId: undefined, testUsersOnly: true, bulkUsersOnly: true },
  { batchId: undefined, testUsersOnly: false, bulkUsersOnly: true },
  { batchId: BATCHES[0], testUsersOnly: true, bulkUsersOnly: false },
  { batchId: BATCHES[0], testUsersOnly: false, bulkUsersOnly: true },
]
