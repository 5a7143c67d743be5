import { overlay } from '../../src/templates/settings.ts'
import { suite } from '../suite.ts'

const t = suite()

const template = {
  username_pattern: 'shop_{id}@shop.test',
  role: 'buyer',
  custom_attributes: { plan: 'gold', tags: ['a'] },
  password_hash: { algorithm: 'none', distinct: 1 },
  chunk_size: 100,
} as const

t.test('an empty request gets the template', (t) => {
  t.strictSame(overlay(template, {}), template)
  t.strictSame(overlay({}, {}), { password_hash: {} })
  t.end()
})

t.test('members of the request replace those of the template', (t) => {
  t.strictSame(overlay(template, { role: 'seller', max_workers: 1, password: 'TestPass123!' }), {
    ...template,
    role: 'seller',
    max_workers: 1,
    password: 'TestPass123!',
  })
  t.end()
})

t.test('password_hash is merged too, and custom_attributes are replaced as a whole', (t) => {
  const given = { password_hash: { algorithm: 'argon2id' }, custom_attributes: { region: 'eu' } } as const
  t.strictSame(overlay(template, given), {
    ...template,
    custom_attributes: { region: 'eu' },
    password_hash: { algorithm: 'argon2id', distinct: 1 },
  })
  t.end()
})

t.test('an algorithm or a preset in the request replaces that of the template and all its costs', (t) => {
  const django = { password_hash: { preset: 'django', distinct: 5 } } as const
  t.strictSame(overlay(django, { password_hash: { algorithm: 'bcrypt' } }).password_hash, {
    distinct: 5,
    algorithm: 'bcrypt',
  })
  const slow = { password_hash: { algorithm: 'bcrypt', cost: 12 } } as const
  t.strictSame(overlay(slow, { password_hash: { preset: 'kratos' } }).password_hash, { preset: 'kratos' })
  t.strictSame(overlay(slow, { password_hash: { prefix: '2y' } }).password_hash, {
    ...slow.password_hash,
    prefix: '2y',
  })
  t.end()
})

t.test('neither argument is changed', (t) => {
  const given = Object.freeze({ role: 'seller', password_hash: Object.freeze({ distinct: 1 }) })
  const before = structuredClone(template)
  overlay(template, given)
  t.strictSame(template, before)
  t.end()
})
