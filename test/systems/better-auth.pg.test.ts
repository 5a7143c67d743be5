import fc from 'fast-check'
import { connect } from '../../src/database/connection.ts'
import { hashPassword } from '../../src/passwords/hash-password.ts'
import { betterAuth } from '../../src/systems/better-auth.ts'
import type { SystemUser } from '../../src/systems/system-format.ts'
import { anyCharacter } from '../any-character.ts'
import { emptyDatabase } from '../database.ts'
import { verifyLogin } from '../passwords/verify-login.ts'
import { BETTER_AUTH } from '../sinks/systems.ts'
import { suite } from '../suite.ts'
import { users, userWith } from './check-format.ts'

const t = suite()

const sql = connect({ url: await emptyDatabase(), schema: 'public', connections: 1, name: 'test' })
t.teardown(() => sql.end())
await sql.unsafe(BETTER_AUTH)

const password_hash = hashPassword({ algorithm: 'better_auth' }, 'TestPass123!') ?? ''

/** The file of these users. */
function fileOf(given: SystemUser[]): string {
  const texts = given.map((user) => {
    const rendering = betterAuth.render({ ...user, password_hash })
    if ('refusal' in rendering) throw new Error(rendering.refusal.detail)
    return betterAuth.write(rendering.rendered)
  })
  return betterAuth.head(undefined) + texts.join(betterAuth.separator) + betterAuth.tail
}

t.test('PostgreSQL reads the file back as the users, whatever their names are', async (t) => {
  const named = fc.tuple(users, fc.string({ unit: anyCharacter })).map(([user, name]) => {
    const last = name.replaceAll('\0', '')
    return { ...user, custom_attributes: { first: `\\'"$1;--`, last }, created_at: '2026-01-02T03:04:05.678901Z' }
  })
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(named, { selector: ({ id }) => id, minLength: 1, maxLength: 20 }),
      async (given) => {
        await sql.unsafe(fileOf(given))
        const found = await sql`
          select u.id, u.name, u.email, u."emailVerified" as verified, a."accountId" as account, a."providerId" as provider,
            a.password, to_char(u."createdAt" at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as created_at
          from "user" u join account a on a."userId" = u.id where u.id <> 'own' order by u.id`
        await sql`delete from "user" where id <> 'own'`
        const wanted = given
          .map(({ id, email, created_at, custom_attributes: { first, last } }) => ({
            ...{ id, name: last.trim() === '' ? first : `${first} ${last}`, email, verified: true },
            ...{ account: id, provider: 'credential', password: password_hash, created_at },
          }))
          .toSorted((a, b) => (a.id < b.id ? -1 : 1))
        t.strictSame([...found], wanted)
      },
    ),
    { numRuns: 30 },
  )
})

t.test('a file of which a user exists already changes nothing', async (t) => {
  const [one, other] = [userWith({}), userWith({})]
  await t.rejects(sql.unsafe(fileOf([one, { ...other, email: 'own@example.com' }])))
  await sql`rollback`
  t.equal((await sql`select from "user"`).count, 1)
})

t.test('better-auth verifies the hash, and other hashes are refused', async (t) => {
  t.ok(await verifyLogin(password_hash, 'TestPass123!'))
  for (const other of [null, `$2b$04$${'a'.repeat(53)}`, `${password_hash}0`])
    t.ok('refusal' in betterAuth.render(userWith({ password_hash: other })), String(other))
  t.end()
})
