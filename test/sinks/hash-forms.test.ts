import { hashPassword } from '../../src/passwords/hash-password.ts'
import type { Preset } from '../../src/passwords/presets.ts'
import { compileTables, renderRows } from '../../src/sync/kinds/postgres/mapping.ts'
import { PRESETS as TABLES } from '../../src/sync/kinds/postgres/presets.ts'
import { HASH_FORMS, type HashFormName, writeHash } from '../../src/systems/hash-forms.ts'
import { cheapHash } from '../passwords/cheap-hash.ts'
import { suite } from '../suite.ts'

const t = suite()

const bcrypt = cheapHash('spring-security')

t.test('each application gets its own hashes as they are, and no hash that it does not take', (t) => {
  for (const form of Object.keys(HASH_FORMS) as HashFormName[]) {
    const preset: Preset = form === 'django' ? 'django-3.2' : form
    const own = cheapHash(preset)
    const prefix = form === 'spring-security' ? '{bcrypt}' : ''
    t.equal(writeHash(form, own), prefix + own, form)
    const other = form === 'better-auth' ? bcrypt : cheapHash('better-auth')
    t.match(writeHash(form, other), {
      code: 'hash_unsupported',
      detail: new RegExp(`"preset": "${HASH_FORMS[form].preset}"`),
    })
  }
  t.end()
})

t.test('Django gets a hash of another library with the name of its hasher', (t) => {
  t.equal(writeHash('django', bcrypt), `bcrypt$${bcrypt}`)
  t.match(writeHash('django', cheapHash('keycloak')), /^argon2\$argon2id\$v=19/)
  t.match(writeHash('laravel', bcrypt.replace(/^\$2.\$/, '$2b$')), { code: 'hash_unsupported' })
  t.end()
})

t.test('every preset of tables refuses a user whose hash its application does not take', (t) => {
  const user = {
    ...{
      id: '0190a1b2-0000-7000-8000-000000000000',
      username: 'u',
      email: 'u@example.com',
      role: 'user',
      batch_id: null,
    },
    ...{ custom_attributes: {}, created_at: '2026-01-01T00:00:00Z', updated_at: '2026-01-01T00:00:00Z' },
  }
  const password_hash = hashPassword({ algorithm: 'scrypt', n: 16, r: 1, p: 1 }, 'TestPass123!')
  for (const [name, mapping] of Object.entries(TABLES)) {
    compileTables(mapping)
    t.match(renderRows(mapping, { ...user, password_hash }, true), { refusal: { code: 'hash_unsupported' } }, name)
  }
  t.end()
})
