import { readConfig } from '../../src/config/config.ts'
import { settingsCheck, settingsValidator } from '../../src/templates/settings.ts'
import { suite } from '../suite.ts'

const t = suite()

const config = readConfig({ MAX_WORKERS: '3', CHUNK_SIZE: '700', RESERVED_DOMAINS: 'test,example.com' })
const validate = settingsValidator(config)
const check = settingsCheck(config)

t.test('valid settings are completed with defaults', (t) => {
  t.strictSame(validate({ role: 'admin', password_hash: { algorithm: 'none' } }), {
    is_valid: true,
    errors: [],
    warnings: [],
    config: {
      username_pattern: 'testuser_{id}@example.com',
      email_domain: 'example.com',
      role: 'admin',
      custom_attributes: {},
      generator_version: 1,
      locale: 'en',
      password_mode: 'shared',
      totp: false,
      chunk_size: 700,
      max_workers: 3,
      password_hash: { algorithm: 'none', distinct: 1 },
    },
  })
  t.end()
})

/** Invalid settings: the code that a write is rejected with, and the reported errors. */
const FAULTY: [settings: object, refusal: string, errors: [path: string, code: string][]][] = [
  [{ chunk_size: 0 }, 'invalid_request', [['chunk_size', 'minimum']]],
  [{ max_workers: 4 }, 'invalid_request', [['max_workers', 'maximum']]],
  [{ role: 5 }, 'invalid_request', [['role', 'type']]],
  [{ password_hash: { rounds: 1 } }, 'invalid_request', [['password_hash.rounds', 'unknown_member']]],
  [{ password_hash: { preset: 'joomla' } }, 'invalid_request', [['password_hash.preset', 'enum']]],
  [{ password_hash: { algorithm: 'bcrypt', cost: 16 } }, 'invalid_request', [['password_hash.cost', 'maximum']]],
  [{ password_hash: { n: 1_024 } }, 'invalid_request', [['password_hash.n', 'contradiction']]],
  [{ password_hash: { algorithm: 'scrypt', n: 1_000 } }, 'invalid_request', [['password_hash.n', 'multiple']]],
  [{ test_batch_id: 'x' }, 'invalid_request', [['test_batch_id', 'unknown_member']]],
  [
    { nmae: 1, role: '', custom_attributes: [] },
    'invalid_request',
    [
      ['nmae', 'unknown_member'],
      ['role', 'minLength'],
      ['custom_attributes', 'type'],
    ],
  ],
  [{ password_hash: { distinct: 1_000_001 } }, 'invalid_request', [['password_hash.distinct', 'maximum']]],
  [{ password_hash: { distinct: 500_000 }, chunk_size: 1 }, 'invalid_request', [['chunk_size', 'minimum']]],
  [{ username_pattern: 'admin' }, 'pattern_invalid', [['username_pattern', 'pattern_invalid']]],
  [{ username_pattern: `${'x'.repeat(250)}{id}` }, 'pattern_invalid', [['username_pattern', 'pattern_invalid']]],
  [{ username_pattern: 'u{id}@gmail.com' }, 'domain_not_reserved', [['username_pattern', 'domain_not_reserved']]],
  [
    { username_pattern: 'u{id}', email_domain: 'example.com.evil.org' },
    'domain_not_reserved',
    [['email_domain', 'domain_not_reserved']],
  ],
  [{ role: 'nul \u0000' }, 'invalid_request', [['', 'unstorable']]],
  [{ custom_attributes: { 'nul \u0000': 1 } }, 'invalid_request', [['', 'unstorable']]],
  [{ custom_attributes: { a: [{ b: '\u0000' }] } }, 'invalid_request', [['', 'unstorable']]],
  [{ custom_attributes: { a: 'ä'.repeat(32_768) } }, 'invalid_request', [['', 'too_large']]],
]

t.test('every error is reported and rejects a write', (t) => {
  for (const [settings, code, errors] of FAULTY) {
    const faults = errors.map(([member, code]) => ({
      path: `body.config${member && `.${member}`}`,
      code,
      message: String,
    }))
    const what = `${Object.keys(settings)} ${code}`
    const verdict = validate(settings)
    t.match(verdict, { is_valid: false, errors: faults }, what)
    t.equal(verdict.errors.length, errors.length, what)
    t.equal(verdict.config === null, code === 'invalid_request', 'readable settings are completed')
    t.throws(() => check(settings), { code, errors: faults }, what)
  }
  t.end()
})

t.test('at most 20 errors are reported', (t) => {
  const settings = Object.fromEntries(Array.from({ length: 2_000 }, (_, i) => [`unknown_${i}`, i]))
  t.equal(validate(settings).errors.length, 20)
  t.end()
})

t.test('a template accepts settings up to the limits', (t) => {
  for (const settings of [
    { custom_attributes: { a: 'ä'.repeat(32_000) } },
    { custom_attributes: { a: '\\u0000' } },
    { username_pattern: 'u{n}' },
    { chunk_size: 50_000, max_workers: 3 },
    { chunk_size: 1 },
    { password_hash: { algorithm: 'bcrypt', distinct: 10 } },
    { password_hash: { distinct: 1_000_000 } },
    { password_mode: 'per_user' },
    {},
  ]) {
    t.equal(check(settings), settings)
    t.ok(validate(settings).is_valid)
  }
  t.end()
})

t.test('more distinct hashes than users are rejected', (t) => {
  const few = readConfig({ MAX_BATCH_USERS: '1' })
  t.ok(settingsValidator(few)({}).is_valid)
  t.match(settingsValidator(few)({ password_hash: { distinct: 2 } }), {
    errors: [{ path: 'body.config.password_hash.distinct', code: 'maximum' }],
  })
  t.match(validate({ password_hash: { distinct: 10 } }).config, { password_hash: { distinct: 10 } })
  t.end()
})

t.test('a password that contradicts other settings is rejected', (t) => {
  for (const settings of [
    { password: 'TestPass123!', password_mode: 'per_user' },
    { password: 'x'.repeat(100), password_hash: { algorithm: 'bcrypt' } },
  ]) {
    const { errors, config } = validate(settings)
    t.match({ errors, config }, { errors: [{ path: 'body.config.password' }], config: null })
    t.notOk(JSON.stringify(errors).includes(settings.password))
  }
  t.end()
})

t.test('a template cannot contain a password', (t) => {
  t.throws(() => check({ password: 'TestPass123!' }), {
    code: 'invalid_request',
    errors: [{ path: 'body.config.password', code: 'unknown_member' }],
  })
  t.end()
})

t.test('unusual settings cause warnings', (t) => {
  const table: [settings: object, warnings: [member: string, code: string][]][] = [
    [{ username_pattern: 'u{n}' }, [['username_pattern', 'not_repeatable']]],
    [{ username_pattern: 'u{id}.{n}' }, []],
    [{ username_pattern: 'u{batch}.{n}' }, []],
    [{ role: 'wizard' }, [['role', 'role_unusual']]],
    ...['user', 'admin', 'moderator', 'test'].map((role): [object, []] => [{ role }, []]),
    [{ password: 'TestPass123!' }, []],
    [{ password_hash: { preset: 'django', distinct: 480 } }, []], // 375 ms each, on 3 threads
    [{ password_hash: { preset: 'django', distinct: 490 } }, [['password_hash', 'hashing_slow']]],
    [{ password_hash: { algorithm: 'none', distinct: 1_000_000 } }, []],
    ...['Short1a', 'lower-case-1', 'UPPER-CASE-1', 'No-Digit-here', 'Aaaaaaa1', 'password', '123456'].map(
      (password): [object, [[string, string]]] => [{ password }, [['password', 'password_weak']]],
    ),
    [
      { username_pattern: 'u{n}', role: 'wizard', password: 'test' },
      [
        ['username_pattern', 'not_repeatable'],
        ['role', 'role_unusual'],
        ['password', 'password_weak'],
      ],
    ],
  ]
  for (const [settings, expected] of table) {
    const { is_valid, warnings } = validate(settings)
    t.ok(is_valid, JSON.stringify(settings))
    t.match(
      warnings,
      expected.map(([member, code]) => ({ path: `body.config.${member}`, code, message: String })),
    )
    t.equal(warnings.length, expected.length, JSON.stringify(settings))
  }
  t.end()
})

t.test('a password is never returned', (t) => {
  for (const password of [
    'S3cret-Nowhere-To-Be-Seen-9',
    'aaaaaaaa',
    'x'.repeat(257),
    { 'S3cret-Nowhere-To-Be-Seen-9': 1 },
  ]) {
    const secret = typeof password === 'string' ? password : 'S3cret-Nowhere-To-Be-Seen-9'
    for (const rest of [{}, { username_pattern: 'admin' }, { chunk_size: 0 }]) {
      t.notOk(JSON.stringify(validate({ ...rest, password })).includes(secret))
    }
  }
  t.end()
})
