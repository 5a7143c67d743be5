import type { Fragment, Sql } from 'postgres'
import { passwordOf } from '../passwords/derive.ts'
import { isInShard, type Shard } from '../protocol/shard.ts'
import { decrypt } from '../secrets/encryption.ts'
import { type Filter, selectsInPool, userLine } from '../states/filter.ts'
import { credentialCells, csvLine } from './csv.ts'

/** What of a user's credentials an export tells besides the user line. */
export type Credential = 'password' | 'password_hash'

/** How a row of `users u` becomes a line of an export. */
export interface LineForm {
  columns: (sql: Sql) => Fragment
  joins: (sql: Sql) => Fragment
  text: (row: LineRow) => string
  /** Whether the column `line` is the whole text: then PostgreSQL can join the lines of a page by itself. */
  isPlain: boolean
}

export interface LineRow {
  line: string
  credential_id?: string | null
  password_hash?: string | null
  credential_batch_id?: string | null
  password_mode?: 'shared' | 'per_user'
  password_ciphertext?: Buffer
}

const plainForm = (line: (sql: Sql) => Fragment): LineForm => ({
  columns: (sql) => sql`${line(sql)} as line`,
  joins: (sql) => sql``,
  text: ({ line }) => line,
  isPlain: true,
})

/** The user line as it is: the text that is hashed into the state. */
export const plainLine = plainForm((sql) => userLine(sql, 'u'))

/** The user as a line of CSV. */
export const plainCsvLine = plainForm(csvLine)

/**
 * The line with the asked-for credentials put in as its last members or cells, null where the user has none. Secrets of
 * batches are decrypted once an export, and are gone with it.
 */
export function lineWithCredentials(plain: LineForm, asked: Credential[], encryptionKey: Buffer): LineForm {
  const secrets = new Map<string, string>()
  const secretOf = (batchId: string, ciphertext: Buffer) => {
    const secret = secrets.get(batchId) ?? decrypt(encryptionKey, ciphertext, batchId)
    secrets.set(batchId, secret)
    return secret
  }
  const password = (row: LineRow): string | null => {
    const { credential_id, credential_batch_id, password_mode, password_ciphertext } = row
    if (!credential_id || !credential_batch_id || !password_mode || !password_ciphertext) return null
    return passwordOf(password_mode, secretOf(credential_batch_id, password_ciphertext), credential_id)
  }
  return {
    isPlain: false,
    // `lateral … offset 0` holds the planner to one probe a user: with statistics from before the pool was filled it joined all
    // users with all credentials, 16 s for 2,900.
    columns: (sql) => sql`
      ${plain.columns(sql)}, c.id as credential_id, c.password_hash, c.batch_id as credential_batch_id,
      b.config->>'password_mode' as password_mode, b.password_ciphertext`,
    joins: (sql) => sql`
      left join lateral (
        select * from credentials c where c.pool_id = u.pool_id and c.id = u.credential_id offset 0
      ) c on true
      left join lateral (select * from batches b where b.pool_id = c.pool_id and b.id = c.batch_id offset 0) b on true`,
    text: (row) => {
      const values = asked.map((name) => (name === 'password' ? password(row) : (row.password_hash ?? null)))
      if (plain === plainCsvLine) return row.line + credentialCells(values)
      const members = asked.map((name, i) => `,"${name}":${JSON.stringify(values[i])}`)
      return `${row.line.slice(0, -1)}${members.join('')}}`
    },
  }
}

/** Which users an export tells, and how it writes each. */
export interface Selection {
  filter: Filter
  /** A part of the filter's users; states and bases stay those of the whole filter. */
  shard: Shard | undefined
  form: LineForm
}

/** That a row of `users u` is told. */
export function isTold(sql: Sql, selection: Selection): Fragment {
  return sql`u.pool_id = ${selection.filter.poolId} ${tellsInPool(sql, selection, 'u')}`
}

/** The same but for the pool, also of `tombstones t`: further conditions, each with `and` before it. */
export function tellsInPool(sql: Sql, { filter, shard }: Selection, alias: 'u' | 't'): Fragment {
  const userId = alias === 'u' ? sql`u.id` : sql`t.user_id`
  return sql`${selectsInPool(sql, filter, alias)} ${shard ? sql`and ${isInShard(sql, shard, userId)}` : sql``}`
}
