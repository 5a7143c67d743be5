import { HASH_FORMS } from './hash-forms.ts'
import { NO_LIMIT, namesOf, renderer, type SystemFormat, type SystemUser } from './system-format.ts'

/** The rows of a user in better-auth's core tables. They keep our id. */
export interface BetterAuthUser {
  user: Record<string, string | boolean>
  account: Record<string, string>
}

/**
 * SQL for PostgreSQL and SQLite, for better-auth's tables with its default names: better-auth has no import of its own. The part is
 * one transaction. Source: better-auth 1.7, `npx @better-auth/cli generate`.
 */
export const betterAuth: SystemFormat<BetterAuthUser> = {
  mediaType: 'application/sql',
  hasPasswords: true,
  part: NO_LIMIT,
  render: renderer({
    ...HASH_FORMS['better-auth'],
    password: HASH_FORMS['better-auth'].write,
    object: rowsOf,
  }),
  write: ({ user, account }) => `${insert('user', user)}${insert('account', account)}`,
  head: () => 'begin;\n',
  separator: '',
  tail: 'commit;\n',
}

function rowsOf(user: SystemUser, password: string): BetterAuthUser {
  const { id, username, email, created_at, updated_at } = user
  const { first, last } = namesOf(user)
  const name = [first, last].filter((part) => part !== undefined).join(' ') || username
  const times = { createdAt: created_at, updatedAt: updated_at }
  return {
    user: { id, name, email, emailVerified: true, ...times },
    account: { id, accountId: id, providerId: 'credential', userId: id, password, ...times },
  }
}

function insert(table: string, row: Record<string, string | boolean>): string {
  const columns = Object.keys(row).map((name) => `"${name}"`)
  const values = Object.values(row).map((value) => (typeof value === 'string' ? literal(value) : String(value)))
  return `insert into "${table}" (${columns.join(', ')}) values (${values.join(', ')});\n`
}

/** Standard SQL: a quote is doubled, and a backslash is an ordinary character. */
const literal = (text: string) => `'${text.replaceAll("'", "''")}'`
