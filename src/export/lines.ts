import type { Fragment, ISql, Sql } from 'postgres'
import { passwordOf } from '../passwords/generate-password.ts'
import { base32, deriveTotpSecret, openTotpKey } from '../passwords/totp.ts'
import { isInShard, type Shard } from '../protocol/shard.ts'
import type { Credential } from '../protocol/user-line.ts'
import { decrypt } from '../secrets/encryption.ts'
import { type Filter, selectsInPool, userLine } from '../states/filter.ts'

/** How a row of `users u` becomes a line of an export. */
export interface LineForm {
  columns: (sql: Sql) => Fragment
  joins: (sql: Sql) => Fragment
  text: (row: LineRow) => string
  /** Whether the column `line` is the whole text. Then PostgreSQL can join the lines of a page. */
  isPlain: boolean
  /** Returns the line with additional members or cells at its end. */
  append: (line: string, values: [name: string, value: string | null][]) => string
}

export interface LineRow {
  line: string
  user_id?: string
  /** The number of the credential in its batch, from 1. Null if the user has none. */
  credential_n?: number | null
  password_hash?: string | null
  credential_batch_id?: string | null
  password_mode?: 'shared' | 'per_user'
  password_ciphertext?: Buffer | null
  totp_ciphertext?: Buffer | null
}

/** A form whose column `line`, computed in SQL, is the whole text. */
export const plainForm = (line: (sql: Sql) => Fragment, append: LineForm['append']): LineForm => ({
  columns: (sql) => sql`${line(sql)} as line`,
  joins: (sql) => sql``,
  text: ({ line }) => line,
  isPlain: true,
  append,
})

/** The user line: the text that is hashed into the state. */
export const jsonLine = plainForm(
  (sql) => userLine(sql, 'u'),
  (line, values) => {
    const members = values.map(([name, value]) => `,"${name}":${JSON.stringify(value)}`)
    return `${line.slice(0, -1)}${members.join('')}}`
  },
)

/** The credentials of a row of `users u`. */
export interface CredentialForm {
  columns: (sql: ISql) => Fragment
  joins: (sql: ISql) => Fragment
  /** What each is in a row with these columns, null if the user has none. */
  values: Record<Credential, (row: Omit<LineRow, 'line'>) => string | null>
}

/** Returns how credentials are read. Secrets of batches are decrypted once and not kept longer than the form. */
export function credentialForm(encryptionKey: Buffer): CredentialForm {
  const secretOf = decryptOnce(decrypt, encryptionKey)
  const totpKeyOf = decryptOnce(openTotpKey, encryptionKey)
  return {
    // `lateral … offset 0` forces one look-up per user. With statistics from before the pool was filled, the planner
    // joined all users with all credentials, 16 s for 2,900.
    columns: (sql) => sql`
      u.id as user_id, (c.id - b.first_credential_id + 1)::int as credential_n, c.password_hash,
      c.batch_id as credential_batch_id, b.config->>'password_mode' as password_mode, b.password_ciphertext,
      b.totp_ciphertext`,
    joins: (sql) => sql`
      left join lateral (
        select * from credentials c where c.pool_id = u.pool_id and c.id = u.credential_id offset 0
      ) c on true
      left join lateral (select * from batches b where b.pool_id = c.pool_id and b.id = c.batch_id offset 0) b on true`,
    values: {
      password({ credential_n, credential_batch_id, password_mode, password_ciphertext }) {
        if (!credential_n || !credential_batch_id || !password_mode || !password_ciphertext) return null
        return passwordOf(password_mode, secretOf(password_ciphertext, credential_batch_id), credential_n)
      },
      password_hash: (row) => row.password_hash ?? null,
      totp_secret({ user_id, credential_batch_id, totp_ciphertext }) {
        if (!user_id || !credential_batch_id || !totp_ciphertext) return null
        return base32(deriveTotpSecret(totpKeyOf(totp_ciphertext, credential_batch_id), user_id))
      },
    },
  }
}

/** Returns the line with the requested credentials as its last members or cells, null if the user has none. */
export function withCredentials(plain: LineForm, names: Credential[], encryptionKey: Buffer): LineForm {
  const { columns, joins, values } = credentialForm(encryptionKey)
  return {
    ...plain,
    isPlain: false,
    columns: (sql) => sql`${plain.columns(sql)}, ${columns(sql)}`,
    joins,
    text: (row) =>
      plain.append(
        row.line,
        names.map((name) => [name, values[name](row)]),
      ),
  }
}

/** Returns a function that decrypts the secret of a batch, and keeps it for the batch's next user. */
function decryptOnce(open: typeof decrypt, encryptionKey: Buffer) {
  const secrets = new Map<string, string>()
  return (ciphertext: Buffer, batchId: string): string => {
    const secret = secrets.get(batchId) ?? open(encryptionKey, ciphertext, batchId)
    secrets.set(batchId, secret)
    return secret
  }
}

/** Which users an export contains, and how it writes each. */
export interface Selection {
  filter: Filter
  /** A part of the filter's users. States and bases are those of the whole filter. */
  shard: Shard | undefined
  form: LineForm
  /** Whether a delta is in the order of ids. Otherwise it has the order of commits, which PostgreSQL need not sort. */
  isDeltaById?: boolean
}

/** Whether the export contains a row of `users u`. */
export function isSelected(sql: Sql, selection: Selection): Fragment {
  return sql`u.pool_id = ${selection.filter.poolId} ${isSelectedInPool(sql, selection, 'u')}`
}

/** Like `isSelected`, without the pool; also for `tombstones t`. Returns further conditions, each with a leading `and`. */
export function isSelectedInPool(sql: Sql, { filter, shard }: Selection, alias: 'u' | 't'): Fragment {
  const userId = alias === 'u' ? sql`u.id` : sql`t.user_id`
  return sql`${selectsInPool(sql, filter, alias)} ${shard ? sql`and ${isInShard(sql, shard, userId)}` : sql``}`
}
