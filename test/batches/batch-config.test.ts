import { Ajv } from 'ajv'
import { batchConfigBody, completeConfig } from '../../src/batches/batch-config.ts'
import { readConfig } from '../../src/config/config.ts'
import { suite } from '../suite.ts'

const t = suite()

const config = readConfig({ CHUNK_SIZE: '700', MAX_WORKERS: '3' })

t.test('missing settings get their defaults', (t) => {
  t.strictSame(completeConfig({}, 1, config), {
    settings: {
      username_pattern: 'testuser_{id}@example.com',
      email_domain: 'example.com',
      role: 'user',
      custom_attributes: {},
      password_mode: 'shared',
      chunk_size: 700,
      max_workers: 3,
      password_hash: { algorithm: 'argon2id', distinct: 1 },
    },
    password: undefined,
  })
  t.end()
})

t.test('given settings are kept, and only missing ones get defaults', (t) => {
  const given = {
    username_pattern: 'x{id}',
    email_domain: 'a.test',
    role: 'buyer',
    custom_attributes: { plan: 'gold' },
    password_hash: { algorithm: 'none' },
    chunk_size: 10,
    max_workers: 1,
  } as const
  const { settings } = completeConfig(given, 100, config)
  t.strictSame(settings, { ...given, password_mode: 'shared', password_hash: { algorithm: 'none', distinct: 1 } })
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
