import { okta } from '../../src/systems/okta.ts'
import { suite } from '../suite.ts'
import { checkFormat, readLine, sameJson, userWith } from './check-format.ts'
import { members, paddedBase64, verifyBcrypt, verifyPbkdf2 } from './strict.ts'

const t = suite()

t.test('users have a complete profile, and passwords that Okta verifies', (t) =>
  checkFormat(t, {
    system: 'Okta',
    format: okta,
    iterations: 4_096,
    read: (text, user) => {
      const { profile, credentials } = members(readLine(text), 'profile', 'credentials')
      const { login, email, ...names } = members(profile, 'login', 'email', 'firstName', 'lastName')
      sameJson([login, email], [user.username.includes('@') ? user.username : user.email, user.email])
      for (const name of Object.values(names) as string[])
        if (name === '' || [...name].length > 50) throw new Error(`name: ${name}`)
      const { hash } = members(members(credentials, 'password').password, 'hash')
      if ((hash as { algorithm: string }).algorithm === 'BCRYPT') {
        const { workFactor, salt, value } = members(hash, 'algorithm', 'workFactor', 'salt', 'value')
        if ((salt as string).length !== 22 || (value as string).length !== 31) throw new Error('lengths')
        return verifyBcrypt(`$2a$${String(workFactor).padStart(2, '0')}$${salt}${value}`)
      }
      const { iterationCount, ...pbkdf2 } = members(
        hash,
        ...['algorithm', 'digestAlgorithm', 'iterationCount', 'keySize', 'salt', 'value'],
      )
      const stored = { salt: paddedBase64(pbkdf2['salt']), hash: paddedBase64(pbkdf2['value']) }
      sameJson(
        [pbkdf2['algorithm'], pbkdf2['digestAlgorithm'], pbkdf2['keySize']],
        ['PBKDF2', 'SHA256_HMAC', stored.hash.length],
      )
      return verifyPbkdf2(stored, iterationCount as number)
    },
  }),
)

t.test('fewer than 4,096 iterations and long addresses are refused', (t) => {
  const hash = (iterations: number) => `pbkdf2_sha256$${iterations}$saltsalt$${'A'.repeat(43)}=`
  t.match(okta.render(userWith({ password_hash: hash(4_095) })), { refusal: { code: 'hash_unsupported' } })
  const email = `${'a'.repeat(89)}@example.com`
  t.match(okta.render(userWith({ password_hash: hash(4_096), email })), {
    refusal: { detail: /email has more than 100/ },
  })
  t.end()
})

t.test('names are cut to what a profile takes', (t) => {
  const custom_attributes = { first: '😀'.repeat(60) }
  const password_hash = `$2b$04$${'a'.repeat(53)}`
  const rendering = okta.render(userWith({ custom_attributes, password_hash }))
  t.equal('rendered' in rendering && rendering.rendered.profile.firstName, '😀'.repeat(50))
  t.end()
})
