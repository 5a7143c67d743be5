import { hashPassword } from '../../src/passwords/hash-password.ts'
import { fusionauth } from '../../src/systems/fusionauth.ts'
import { suite } from '../suite.ts'
import { checkFormat, readLine, sameJson, userWith } from './check-format.ts'
import { paddedBase64, verifyBcrypt, verifyPbkdf2 } from './strict.ts'

const t = suite()

const MEMBERS =
  'id email username firstName lastName active verified insertInstant data encryptionScheme factor salt password'

t.test('users have known members, are active, and have passwords that FusionAuth verifies', (t) =>
  checkFormat(t, {
    system: 'FusionAuth',
    format: fusionauth,
    read: (text, user) => {
      const written = readLine<Record<string, unknown>>(text)
      const unknown = Object.keys(written).filter((name) => !MEMBERS.split(' ').includes(name))
      sameJson(unknown, [])
      const { factor, salt, password, username = written['email'] } = written
      sameJson(
        [written['id'], written['email'], username, written['active'], written['verified']],
        [user.id, user.email, user.username, true, true],
      )
      sameJson(written['data'], { ...user.custom_attributes, role: user.role })
      sameJson(new Date(written['insertInstant'] as number).toISOString(), user.created_at.replace('000Z', 'Z'))
      if (written['encryptionScheme'] === 'bcrypt') {
        if (!/^[./A-Za-z0-9]{22}$/.test(salt as string) || !/^[./A-Za-z0-9]{31}$/.test(password as string))
          throw new Error('salt or hash is not bcrypt’s')
        return verifyBcrypt(`$2a$${String(factor).padStart(2, '0')}$${salt}${password}`)
      }
      sameJson(written['encryptionScheme'], 'salted-pbkdf2-hmac-sha256')
      return verifyPbkdf2({ salt: paddedBase64(salt), hash: paddedBase64(password) }, factor as number)
    },
  }),
)

t.test('names over FusionAuth’s columns are refused', (t) => {
  const password_hash = hashPassword({ algorithm: 'bcrypt', cost: 4, prefix: '2b' }, 'x')
  const render = (username: string) => fusionauth.render(userWith({ username, password_hash }))
  t.match(render('a'.repeat(191)), { rendered: { username: /^a{191}$/ } })
  t.match(render('a'.repeat(192)), { refusal: { code: 'value_invalid', detail: /username has more than 191/ } })
  t.end()
})
