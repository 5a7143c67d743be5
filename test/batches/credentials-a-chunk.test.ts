import fc from 'fast-check'
import { completeConfig } from '../../src/batches/complete-config.ts'
import { credentialsAChunk } from '../../src/batches/create-batch.ts'
import { readConfig } from '../../src/config/config.ts'
import { hashCostMs, withCosts } from '../../src/passwords/hash-password.ts'
import { PRESET_NAMES } from '../../src/passwords/presets.ts'
import { suite } from '../suite.ts'

const t = suite()

const config = readConfig({ CHUNK_SIZE: '50000' })

t.test('a chunk takes about a second, or is one hash', (t) => {
  const table: [hash: object, credentials: number][] = [
    [{ algorithm: 'argon2id' }, 21],
    [{ algorithm: 'scrypt' }, 9],
    [{ algorithm: 'bcrypt' }, 9],
    [{ algorithm: 'bcrypt', cost: 14 }, 1],
    [{ algorithm: 'pbkdf2_sha256' }, 2],
    [{ algorithm: 'pbkdf2_sha256', iterations: 1 }, 10_000],
    [{ algorithm: 'better_auth' }, 9],
    [{ algorithm: 'none' }, 10_000],
  ]
  for (const [password_hash, credentials] of table) {
    t.equal(
      credentialsAChunk(completeConfig({ password_hash }, 1, config).settings),
      credentials,
      JSON.stringify(password_hash),
    )
  }
  t.end()
})

t.test('whatever the preset and the number of hashes, there are at most 100,000 chunks, each of at most 5 s', (t) => {
  fc.assert(
    fc.property(fc.constantFrom(...PRESET_NAMES), fc.integer({ min: 1, max: 1_000_000 }), (preset, distinct) => {
      const { settings } = completeConfig({ password_hash: { preset, distinct } }, 1_000_000, config)
      const credentials = credentialsAChunk(settings)
      const chunks = Math.ceil(distinct / credentials)
      return chunks <= 100_000 && credentials * hashCostMs(withCosts(settings.password_hash)) <= 5_000
    }),
  )
  t.end()
})
