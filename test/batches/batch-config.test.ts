import { Ajv } from 'ajv'
import { type BatchConfigBody, batchConfigBody } from '../../src/batches/batch-config.ts'
import { completeConfig } from '../../src/batches/complete-config.ts'
import { readConfig } from '../../src/config/config.ts'
import { suite } from '../suite.ts'

const t = suite()

const config = readConfig({ CHUNK_SIZE: '700', MAX_WORKERS: '3' })

t.test('missing settings get their defaults', (t) => {
  const { settings, password } = completeConfig({}, 1, config)
  t.strictSame(
    { settings, password },
    {
      settings: {
        username_pattern: 'testuser_{id}@example.com',
        email_domain: 'example.com',
        role: 'user',
        custom_attributes: {},
        generator_version: 1,
        locale: 'en',
        password_mode: 'shared',
        chunk_size: 700,
        max_workers: 3,
        totp: false,
        password_hash: { algorithm: 'argon2id', memory_kib: 19_456, iterations: 2, parallelism: 1, distinct: 1 },
      },
      password: undefined,
    },
  )
  t.end()
})

t.test('given settings are kept, and only missing ones get defaults', (t) => {
  const given = {
    username_pattern: 'x{id}',
    email_domain: 'a.test',
    role: 'buyer',
    custom_attributes: { plan: 'gold' },
    password_hash: { algorithm: 'none' },
    totp: true,
    chunk_size: 10,
    max_workers: 1,
  } as const
  const { settings } = completeConfig(given, 100, config)
  t.strictSame(settings, {
    ...given,
    generator_version: 1,
    locale: 'en',
    password_mode: 'shared',
    password_hash: { algorithm: 'none', distinct: 1 },
  })
  t.end()
})

t.test('an unknown placeholder is refused by its name', (t) => {
  for (const name of ['uuid', 'ID', 'batch_id', '', ' id ', 'nn']) {
    const given = { username_pattern: `u{id}{${name}}` }
    t.throws(() => completeConfig(given, 1, config), { code: 'pattern_invalid', message: `{${name}}` }, name)
  }
  t.end()
})

t.test('hash settings are completed, and a preset is kept beside the costs that it sets', (t) => {
  const hashOf = (password_hash: NonNullable<BatchConfigBody['password_hash']>) =>
    completeConfig({ password_hash }, 10, config).settings.password_hash
  t.strictSame(hashOf({ preset: 'keycloak' }), {
    algorithm: 'argon2id',
    memory_kib: 7_168,
    iterations: 5,
    parallelism: 1,
    preset: 'keycloak',
    distinct: 1,
  })
  t.strictSame(hashOf({ algorithm: 'bcrypt', cost: 4 }), { algorithm: 'bcrypt', cost: 4, prefix: '2b', distinct: 1 })
  const again = hashOf({ preset: 'django', distinct: 3 })
  t.strictSame(hashOf(again as { preset: 'django' }), again, 'what a batch returns may be sent again')
  t.end()
})

t.test('hash settings that contradict each other, the count or the password', (t) => {
  const refused = (config_: BatchConfigBody, path: string, code: string, count = 10) =>
    t.throws(() => completeConfig(config_, count, config), {
      code: 'invalid_request',
      errors: [{ path: `body.config.${path}`, code, message: String }],
    })
  refused({ password_hash: { cost: 12 } }, 'password_hash.cost', 'contradiction')
  refused({ password_hash: { preset: 'django', iterations: 1_000 } }, 'password_hash.iterations', 'contradiction')
  refused({ password_hash: { memory_kib: 131_072, iterations: 100 } }, 'password_hash', 'too_expensive')
  refused({ password_hash: { preset: 'laravel' }, password: 'é'.repeat(37) }, 'password', 'maximum')
  const { password } = completeConfig({ password_hash: { preset: 'wordpress' }, password: 'é'.repeat(37) }, 1, config)
  t.equal(password?.length, 37, 'WordPress hashes a digest')
  // A batch has at most 100,000 chunks of hashes. One takes 3.3 s at cost 15, and a chunk at most 5 s.
  const slow = { password_hash: { algorithm: 'bcrypt', cost: 15, distinct: 100_001 }, chunk_size: 50_000 } as const
  refused(slow, 'password_hash.distinct', 'maximum', 1_000_000)
  const { password_hash: hash } = slow
  const most = { ...slow, password_hash: { ...hash, distinct: 100_000 } }
  t.equal(completeConfig(most, 1_000_000, config).settings.password_hash.distinct, 100_000)
  t.end()
})

t.test('the password is kept separate from the settings', (t) => {
  const { settings, password } = completeConfig({ password: 'TestPass123!' }, 1, config)
  t.equal(password, 'TestPass123!')
  t.notMatch(JSON.stringify(settings), /TestPass123!/)
  t.end()
})

t.test('a batch has at most 100,000 chunks', (t) => {
  t.equal(completeConfig({ chunk_size: 10 }, 1_000_000, config).settings.chunk_size, 10)
  t.throws(() => completeConfig({ chunk_size: 10 }, 1_000_001, config), {
    code: 'invalid_request',
    errors: [{ path: 'body.config.chunk_size', code: 'minimum' }],
  })
  t.end()
})

t.test('the schema accepts valid batch settings and rejects everything else', (t) => {
  const accepts = new Ajv({ strict: false }).compile(batchConfigBody(config))
  const good: object[] = [
    {},
    { custom_attributes: { any: { thing: [1, null] } } },
    { max_workers: 3 },
    { chunk_size: 50_000 },
    { password: 'x'.repeat(256) },
    { email_domain: 'A-1.example.com' },
    { password_hash: { preset: 'django-4.2', distinct: 5 } },
    { password_hash: { memory_kib: 8, iterations: 1, parallelism: 1 } },
    { password_hash: { memory_kib: 131_072, iterations: 10_000_000, parallelism: 16 } },
    { password_hash: { cost: 4, prefix: '2y' } },
    { password_hash: { cost: 15, prefix: 'wp$2y' } },
    { password_hash: { n: 2, r: 1, p: 1 } },
    { password_hash: { n: 524_288, r: 32, p: 16 } },
    { password_hash: { salt_bytes: 8 } },
    { password_hash: { salt_bytes: 64 } },
  ]
  const bad: object[] = [
    { max_workers: 4 },
    { max_workers: 0 },
    { chunk_size: 0 },
    { chunk_size: 50_001 },
    { chunk_size: '100' },
    { password: '' },
    { password: 'x'.repeat(257) },
    { password_mode: 'none' },
    { password_hash: { algorithm: 'md5' } },
    { password_hash: { rounds: 1 } },
    { totp: 1 },
    { password_hash: { preset: 'joomla' } },
    { password_hash: { preset: 'toString' } },
    { password_hash: { memory_kib: 7 } },
    { password_hash: { memory_kib: 131_073 } },
    { password_hash: { iterations: 0 } },
    { password_hash: { iterations: 10_000_001 } },
    { password_hash: { parallelism: 0 } },
    { password_hash: { parallelism: 17 } },
    { password_hash: { cost: 3 } },
    { password_hash: { cost: 16 } },
    { password_hash: { cost: '10' } },
    { password_hash: { prefix: '2a' } },
    { password_hash: { n: 1 } },
    { password_hash: { n: 524_289 } },
    { password_hash: { r: 0 } },
    { password_hash: { r: 33 } },
    { password_hash: { p: 0 } },
    { password_hash: { p: 17 } },
    { password_hash: { salt_bytes: 7 } },
    { password_hash: { salt_bytes: 65 } },
    { username_pattern: '' },
    { username_pattern: 'x'.repeat(255) },
    { email_domain: 'a@b.test' },
    { email_domain: '.test' },
    { role: '' },
    { role: 'x'.repeat(65) },
    { custom_attributes: [] },
    { custom_attributes: 'gold' },
    { user_name_pattern: 'x' },
  ]
  for (const body of good) t.ok(accepts(body), JSON.stringify(body))
  for (const body of bad) t.notOk(accepts(body), JSON.stringify(body).slice(0, 60))
  t.end()
})
