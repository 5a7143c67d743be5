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

t.test('neither argument is changed', (t) => {
  const given = Object.freeze({ role: 'seller', password_hash: Object.freeze({ distinct: 1 }) })
  const before = structuredClone(template)
  overlay(template, given)
  t.strictSame(template, before)
  t.end()
})
