import { Ajv } from 'ajv'
import { auth0 } from '../../src/systems/auth0.ts'
import { suite } from '../suite.ts'
import { checkFormat, readLine, sameJson } from './check-format.ts'
import { type Verify, verifyBcrypt, verifyPhcArgon2id, verifyPhcPbkdf2, verifyScrypt } from './strict.ts'

const t = suite()

const text = { type: 'string' }
const closed = (properties: object, required: string[]) => ({
  ...{ type: 'object', properties, required, additionalProperties: false },
})

/** The members of Auth0's schema that we use (bulk-user-import-schema.mdx). */
const isUser = new Ajv({ strict: false }).compile(
  closed(
    {
      ...{ user_id: text, email: text, email_verified: { type: 'boolean' }, given_name: text, family_name: text },
      password_hash: { type: 'string', pattern: '^\\$2[ab]\\$10\\$[./A-Za-z0-9]{53}$' },
      custom_password_hash: closed(
        {
          algorithm: { enum: ['argon2', 'bcrypt', 'pbkdf2', 'scrypt'] },
          hash: { type: 'object', properties: { value: text, encoding: { enum: ['base64', 'hex', 'utf8'] } } },
          salt: { type: 'object', properties: { value: text, encoding: { enum: ['utf8'] } }, required: ['value'] },
          ...{ keylen: { type: 'integer' }, cost: { type: 'integer' } },
          ...{ blockSize: { type: 'integer' }, parallelization: { type: 'integer' } },
        },
        ['algorithm', 'hash'],
      ),
      app_metadata: closed({ role: text }, ['role']),
      user_metadata: { type: 'object' },
    },
    ['email'],
  ),
)

interface Custom {
  algorithm: string
  hash: { value: string; encoding: string }
  salt?: { value: string }
  keylen: number
  cost: number
  blockSize: number
  parallelization: number
}

/** Each algorithm has its own encoding, and a salt only where the value has none. */
function verifyOf({ algorithm, hash, salt, ...scrypt }: Custom): Verify {
  if (algorithm === 'scrypt') {
    if (hash.encoding !== 'hex' || !salt) throw new Error('scrypt')
    const value = Buffer.from(hash.value, 'hex')
    sameJson([value.toString('hex'), value.length], [hash.value, scrypt.keylen])
    const stored = { salt: Buffer.from(salt.value), hash: value }
    return verifyScrypt(stored, scrypt.cost, scrypt.blockSize, scrypt.parallelization)
  }
  if (hash.encoding !== 'utf8' || salt) throw new Error(algorithm)
  if (algorithm === 'bcrypt') return verifyBcrypt(hash.value)
  return algorithm === 'argon2' ? verifyPhcArgon2id(hash.value) : verifyPhcPbkdf2(hash.value)
}

t.test('users fit Auth0’s closed schema, and have passwords that Auth0 verifies', (t) =>
  checkFormat(t, {
    system: 'Auth0',
    format: auth0,
    read: (text, user) => {
      const written = readLine<Record<string, unknown>>(text)
      if (!isUser(written)) throw new Error(JSON.stringify(isUser.errors))
      sameJson([written['user_id'], written['email'], written['email_verified']], [user.id, user.email, true])
      sameJson([written['app_metadata'], written['user_metadata']], [{ role: user.role }, user.custom_attributes])
      if ('password_hash' in written === 'custom_password_hash' in written) throw new Error('one hash is expected')
      return verifyOf(written['custom_password_hash'] as Custom)
    },
  }),
)

t.test('bcrypt is the connection’s own hash at cost 10 with 2b, and a custom one otherwise', (t) => {
  const user = {
    ...{ id: '01890000-0000-7000-8000-000000000001', username: 'u', email: 'u@example.com', role: 'user' },
    ...{ custom_attributes: {}, created_at: '2026-01-01T00:00:00.000000Z', updated_at: '2026-01-01T00:00:00.000000Z' },
  }
  const rest = 'a'.repeat(53)
  for (const [start, member] of [
    ['$2b$10$', 'password_hash'],
    ['$2y$10$', 'custom_password_hash'],
    ['$2b$12$', 'custom_password_hash'],
  ] as const) {
    const rendering = auth0.render({ ...user, password_hash: start + rest })
    t.ok('rendered' in rendering && member in rendering.rendered && isUser(rendering.rendered), start)
  }
  t.end()
})
