import { django } from '../../src/systems/django.ts'
import { suite } from '../suite.ts'
import { checkFormat, readLine, sameJson, userWith } from './check-format.ts'
import { members, type Verify, verifyBcrypt, verifyPbkdf2, verifyPhcArgon2id } from './strict.ts'

const t = suite()

/* `loaddata` itself reads the fixture in real-imports.pg.test.ts. */

/** As django/contrib/auth/hashers.py: the hasher's name, `$`, and what the hasher stores. */
function verifyOf(stored: string): Verify {
  const [hasher = '', ...rest] = stored.split('$')
  if (hasher === 'argon2') return verifyPhcArgon2id(`$${rest.join('$')}`)
  if (hasher === 'bcrypt') return verifyBcrypt(rest.join('$'))
  sameJson(hasher, 'pbkdf2_sha256')
  const [iterations, salt = '', hash = '', ...more] = rest
  sameJson(more, [])
  return verifyPbkdf2({ salt: Buffer.from(salt), hash: Buffer.from(hash, 'base64') }, Number(iterations))
}

t.test('users are objects of a fixture, and have passwords that Django verifies', (t) =>
  checkFormat(t, {
    system: 'Django',
    format: django,
    read: (text, user) => {
      const { model, fields } = members(readLine(text), 'model', 'fields')
      const { password, ...rest } = members(
        fields,
        ...['username', 'email', 'password', 'first_name', 'last_name', 'date_joined'],
        ...['is_active', 'is_staff', 'is_superuser'],
      )
      sameJson([model, rest['is_active'], rest['is_staff'], rest['is_superuser']], ['auth.user', true, false, false])
      sameJson([rest['username'], rest['email'], rest['date_joined']], [user.username, user.email, user.created_at])
      if (String(password).length > 128) throw new Error('the password does not fit its column')
      return verifyOf(password as string)
    },
  }),
)

t.test('names over Django’s columns are refused', (t) => {
  const password_hash = `$2b$04$${'a'.repeat(53)}`
  const refused = (values: object) => {
    const rendering = django.render(userWith({ custom_attributes: {}, password_hash, ...values }))
    return 'refusal' in rendering ? rendering.refusal.detail : undefined
  }
  t.match(refused({ username: 'a'.repeat(151) }), /username has more than 150/)
  t.match(refused({ custom_attributes: { first: 'a'.repeat(151) } }), /first name has more than 150/)
  t.match(refused({ custom_attributes: { last_name: 'a'.repeat(151) } }), /last name has more than 150/)
  t.equal(refused({ username: 'a'.repeat(150), custom_attributes: { first: 'a'.repeat(150) } }), undefined)
  t.end()
})
