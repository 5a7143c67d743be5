import { kratos } from '../../src/systems/kratos.ts'
import { suite } from '../suite.ts'
import { checkFormat, readLine, sameJson } from './check-format.ts'
import {
  members,
  paddedBase64,
  type Verify,
  verifyBcrypt,
  verifyPhcArgon2id,
  verifyPhcPbkdf2,
  verifyScrypt,
} from './strict.ts'

const t = suite()

/** As hash/hash_comparator.go: the prefix decides, and base64 is strict. */
function verifyOf(hash: string): Verify {
  if (/^\$2[abzy]?\$/.test(hash)) return verifyBcrypt(hash)
  if (hash.startsWith('$argon2id$')) return verifyPhcArgon2id(hash)
  if (hash.startsWith('$pbkdf2-sha256$')) return verifyPhcPbkdf2(hash)
  const [, n, r, p, salt, value] = /^\$scrypt\$ln=(\d+),r=(\d+),p=(\d+)\$([^$]+)\$([^$]+)$/.exec(hash) ?? []
  const stored = { salt: paddedBase64(salt), hash: paddedBase64(value) }
  return verifyScrypt(stored, Number(n), Number(r), Number(p))
}

t.test('identities have the members of the batch request, and passwords that Kratos verifies', (t) =>
  checkFormat(t, {
    system: 'Ory Kratos',
    format: kratos,
    read: (text, { id, email, role, custom_attributes }) => {
      const { patch_id, create } = members(readLine(text), 'patch_id', 'create')
      const { credentials, ...identity } = members(
        create,
        ...['schema_id', 'traits', 'external_id', 'state', 'credentials', 'verifiable_addresses', 'metadata_public'],
      )
      sameJson([patch_id, identity['external_id'], identity['traits']], [id, id, { email }])
      sameJson(identity['metadata_public'], { role, custom_attributes })
      sameJson(identity['verifiable_addresses'], [{ value: email, verified: true, via: 'email', status: 'completed' }])
      const { config } = members(members(credentials, 'password').password, 'config')
      return verifyOf(members(config, 'hashed_password').hashed_password as string)
    },
  }),
)

t.test('hashes over the bounds of hash_limits.go are refused', (t) => {
  const user = {
    ...{ id: '01890000-0000-7000-8000-000000000001', username: 'u', email: 'u@example.com', role: 'user' },
    ...{ custom_attributes: {}, created_at: '2026-01-01T00:00:00.000000Z', updated_at: '2026-01-01T00:00:00.000000Z' },
  }
  const isTaken = (password_hash: string) => 'rendered' in kratos.render({ ...user, password_hash })
  const argon2id = (iterations: number) => `$argon2id$v=19$m=64,t=${iterations},p=1$c2FsdHNhbHQ$aGFzaGhhc2g`
  const scrypt = (costs: string) => `scrypt:${costs}$saltsalt$${'ab'.repeat(64)}`
  t.ok(isTaken(argon2id(10)))
  t.notOk(isTaken(argon2id(11)))
  t.ok(isTaken(scrypt('131072:8:10')))
  for (const costs of ['262144:8:1', '32768:9:1', '32768:8:11']) t.notOk(isTaken(scrypt(costs)), costs)
  t.end()
})
