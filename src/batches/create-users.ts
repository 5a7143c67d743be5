import type { Fragment, TransactionSql } from 'postgres'
import { sqlState, UNIQUE_VIOLATION } from '../database/sqlstate.ts'
import type { Algorithm } from '../passwords/hash-password.ts'
import { generateUsers, type PopulationConfig, populationOfBatch, type UserLines } from './generated-users.ts'

export interface ChunkPart {
  kind: 'credentials' | 'users'
  first_n: number
  last_n: number
  timeouts: number
}

export interface BatchPart {
  pool_id: number
  batch_id: string
  first_user_number: string
  first_credential_id: string
  credential_count: number
  username_pattern: string
  email_suffix: string
  config: PopulationConfig
  total_requested: number
  epoch: string | null
  password_mode: 'shared' | 'per_user'
  password_hash: { algorithm: Algorithm }
  password_ciphertext: Buffer
}

/** A chunk, with the settings of its batch. */
export type Chunk = ChunkPart & BatchPart

/** Consecutive users of a chunk, as a relation `planned (n, username, role, custom_attributes)`. */
type Planned = (tx: TransactionSql) => Fragment

/** The chunk's users in pieces that one INSERT can send. SQL makes the names if that is all that differs. */
function* piecesOf(chunk: Chunk): Generator<{ planned: Planned; size: number }, void, void> {
  const { first_n: first, last_n: last, batch_id, config, username_pattern, total_requested } = chunk
  const population = populationOfBatch(batch_id, { ...config, username_pattern }, total_requested)
  if (population.isConstant) {
    const [role, attributes] = [population.role(first), population.attributesJson(first)]
    yield { planned: (tx) => plannedAlike(tx, chunk, role, attributes), size: last - first + 1 }
    return
  }
  const firstNumber = Number(chunk.first_user_number)
  for (const lines of generateUsers(population, { first, last, firstNumber })) {
    yield { planned: (tx) => plannedEach(tx, lines), size: lines.size }
  }
}

/** Users with the same role and attributes. Names are filled in as `fillPattern` does. */
const plannedAlike = (tx: TransactionSql, chunk: Chunk, role: string, attributes: string) => tx`(
  select n, replace(
      replace(${chunk.username_pattern}, '{id}', (${chunk.first_user_number}::bigint + n - 1)::text), '{n}', n::text
    ) as username, ${role}::text as role, ${attributes}::jsonb as custom_attributes
  from generate_series(${chunk.first_n}::int, ${chunk.last_n}::int) n
) planned`

/** Users with generated values. A line break in a value is escaped in JSON, so each line is one user. */
const plannedEach = (tx: TransactionSql, { first_n, text }: UserLines) => tx`(
  select (${first_n}::int + i - 1)::int as n, line->>0 as username, line->>1 as role, line->2 as custom_attributes
  from string_to_table(${text}::text, ${'\n'}::text) with ordinality generated (json, i)
  cross join lateral (select json::jsonb as line offset 0) parsed
) planned`

/**
 * Inserts the chunk's users. If a name or address is taken, it skips the user and records a failure. Returns the number
 * of inserted users.
 *
 * Checking for conflicts row by row costs a quarter of the database's time, and conflicts are rare. So the first
 * attempt does not check, and users with a conflict are inserted twice (4.4 s instead of 3.6 s for 100,000 users that
 * all conflict). If it throws, pieces of the chunk may be inserted already: a caller that continues the transaction needs a savepoint of
 * its own.
 */
export async function createUsers(tx: TransactionSql, chunk: Chunk): Promise<number> {
  let created = 0
  for (const { planned, size } of piecesOf(chunk)) {
    try {
      await tx.savepoint((savepoint) => insertPlanned(savepoint, chunk, planned))
      created += size
    } catch (error) {
      if (sqlState(error) !== UNIQUE_VIOLATION) throw error
      created += await tx.savepoint(async (savepoint) => {
        const inserted = await insertWithoutConflicts(savepoint, chunk, planned)
        if (inserted < size) await recordFailures(savepoint, chunk, planned)
        return inserted
      })
    }
  }
  return created
}

/** The id of user n of the batch, see `makeIds`. */
const idOf = (tx: TransactionSql, chunk: Chunk) =>
  tx`(left(${chunk.batch_id}::text, 28) || lpad(to_hex(planned.n), 8, '0'))::uuid`

/** The credential of user n of the batch. No other batch has it. */
const credentialOf = (tx: TransactionSql, { first_credential_id, credential_count }: Chunk) =>
  tx`${first_credential_id}::bigint + (planned.n - 1) % ${credential_count}::int`

/** Inserts all planned users. */
function insertPlanned(tx: TransactionSql, chunk: Chunk, planned: Planned) {
  return tx`
    insert into users
      (pool_id, id, username, email, role, is_test_user, batch_id, created_by_bulk, custom_attributes, credential_id,
        created_at, updated_at)
    select ${chunk.pool_id}, ${idOf(tx, chunk)}, username, username || ${chunk.email_suffix}, role, true, ${chunk.batch_id},
      true, custom_attributes, ${credentialOf(tx, chunk)},
      coalesce(${chunk.epoch}::timestamptz, now()), coalesce(${chunk.epoch}::timestamptz, now())
    from ${planned(tx)}`
}

async function insertWithoutConflicts(tx: TransactionSql, chunk: Chunk, planned: Planned): Promise<number> {
  const [row] = await tx<{ count: number }[]>`
    with inserted as (${insertPlanned(tx, chunk, planned)} on conflict do nothing returning 1)
    select count(*)::int as count from inserted`
  return row?.count ?? 0
}

/**
 * Records which planned users are missing, and whether their username, email or id is taken: an import may have brought the
 * ids of a population. `offset 0` prevents the planner from reading the whole pool into a hash table.
 */
async function recordFailures(tx: TransactionSql, chunk: Chunk, planned: Planned): Promise<void> {
  const { pool_id, batch_id, email_suffix } = chunk
  await tx`
    insert into failures (pool_id, batch_id, n, username, email, code)
    select ${pool_id}, ${batch_id}, n, username, email,
      case
        when exists (select from users u where u.pool_id = ${pool_id} and u.username = p.username offset 0) then 'username_taken'
        when exists (select from users u where u.pool_id = ${pool_id} and u.email = p.email offset 0) then 'email_taken'
        when exists (select from users u where u.pool_id = ${pool_id} and u.id = p.id offset 0) then 'id_taken'
        else 'conflict' -- the other user is gone by now
      end
    from (
      select n, ${idOf(tx, chunk)} as id, ${credentialOf(tx, chunk)} as credential_id, username, username || ${email_suffix} as email
      from ${planned(tx)}
    ) p
    where not exists (
      select from users u where u.pool_id = ${pool_id} and u.id = p.id and u.credential_id = p.credential_id offset 0
    )`
}
