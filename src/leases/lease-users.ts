import type { Fragment, ISql, Sql } from 'postgres'
import { jsonLine, type LineRow, withCredentials } from '../export/lines.ts'
import { deriveTotpSecret, openTotpKey, totpCode } from '../passwords/totp.ts'
import { CREDENTIALS } from '../protocol/user-line.ts'

/** What a lease can contain after each user line, in this order. */
export const LEASE_CREDENTIALS = [...CREDENTIALS, 'totp_code'] as const
export type LeaseCredential = (typeof LEASE_CREDENTIALS)[number]

/**
 * Returns the lines of the users that a lease still has, separated by commas, with credentials as their last members, null if a user
 * has none. Users that were deleted are missing. A TOTP code is the present one.
 */
export async function readLeaseUsers(
  sql: Sql,
  lease: { pool: string; id: string },
  { include, encryptionKey }: { include: LeaseCredential[]; encryptionKey: Buffer },
): Promise<string> {
  const names = CREDENTIALS.filter((name) => include.includes(name))
  const form = withCredentials(jsonLine, names, encryptionKey)
  const rows = await sql<(LineRow & { user_id: string })[]>`
    select ${form.columns(sql)}
    from leases x
    join pools p on p.id = x.pool_id
    cross join lateral unnest(x.user_ids) with ordinality g (user_id, n)
    cross join lateral (select * from users u where u.pool_id = x.pool_id and u.id = g.user_id and u.is_test_user offset 0) u
    ${form.joins(sql)}
    where p.name = ${lease.pool} and x.id = ${lease.id} and ${isUnreturned(sql)}
    order by g.n`
  if (!include.includes('totp_code')) return rows.map(form.text).join(',')
  return rows.map((row) => form.append(form.text(row), [['totp_code', codeOf(row, encryptionKey)]])).join(',')
}

/** Whether the user of `g` was not returned before the end of the lease `x`. */
export const isUnreturned = (sql: ISql): Fragment => sql`not exists (
  select from lease_returns r where r.pool_id = x.pool_id and r.lease_id = x.id and r.user_id = g.user_id offset 0
)`

function codeOf({ user_id, credential_batch_id, totp_ciphertext }: LineRow, encryptionKey: Buffer): string | null {
  if (!user_id || !credential_batch_id || !totp_ciphertext) return null
  const secret = deriveTotpSecret(openTotpKey(encryptionKey, totp_ciphertext, credential_batch_id), user_id)
  return totpCode(secret, Date.now()).code
}
