import { type FirebaseUser, firebase } from '../../src/systems/firebase.ts'
import { suite } from '../suite.ts'
import { checkFormat, readLine, sameJson, userWith } from './check-format.ts'
import { verifyBcrypt, verifyPbkdf2, verifyScrypt } from './strict.ts'

const t = suite()

const MEMBERS = 'localId email emailVerified displayName passwordHash salt customAttributes createdAt'

/** Decodes base64 of the URL's alphabet, with padding, and throws for any other form. */
function forUrl(text: unknown): Uint8Array {
  const bytes = Buffer.from(String(text), 'base64url')
  const padded = bytes.toString('base64').replaceAll('+', '-').replaceAll('/', '_')
  if (padded !== text) throw new Error(`no base64 for URLs: ${text}`)
  return bytes
}

const rendered = (password_hash: string): FirebaseUser => {
  const rendering = firebase.render(userWith({ password_hash }))
  if ('refusal' in rendering) throw new Error(rendering.refusal.detail)
  return rendering.rendered
}

t.test('users have known members, and passwords that Firebase verifies with the settings of the request', (t) =>
  checkFormat(t, {
    system: 'Firebase',
    format: firebase,
    read: (text, given) => {
      const user = readLine<Record<string, string>>(text)
      sameJson(
        Object.keys(user).filter((name) => !MEMBERS.split(' ').includes(name)),
        [],
      )
      sameJson([user['localId'], user['email']], [given.id, given.email])
      sameJson(JSON.parse(user['customAttributes'] ?? ''), { role: given.role })
      if ((user['customAttributes'] ?? '').length > 1_000) throw new Error('the claims are too long')
      const { settings } = rendered(given.password_hash ?? '')
      const hash = forUrl(user['passwordHash'])
      if (settings['hashAlgorithm'] === 'BCRYPT') return verifyBcrypt(Buffer.from(hash).toString())
      const stored = { hash, salt: forUrl(user['salt']) }
      const number = (name: string) => Number(settings[name])
      if (settings['hashAlgorithm'] === 'PBKDF2_SHA256') return verifyPbkdf2(stored, number('rounds'))
      sameJson([settings['hashAlgorithm'], settings['dkLen']], ['STANDARD_SCRYPT', hash.length])
      return verifyScrypt(stored, number('cpuMemCost'), number('blockSize'), number('parallelization'))
    },
  }),
)

t.test('the head of a part has the hash settings, and users of other settings have another head', (t) => {
  const hash = 'a'.repeat(128)
  const heads = ['scrypt:64:8:1$saltsalt$', 'scrypt:64:8:2$saltsalt$', 'scrypt:64:8:1$otherone$'].map((start) =>
    firebase.head(rendered(start + hash)),
  )
  t.equal(heads[0], heads[2])
  t.not(heads[0], heads[1])
  t.strictSame(JSON.parse(`${heads[1]}${firebase.tail}`), {
    ...{ hashAlgorithm: 'STANDARD_SCRYPT', cpuMemCost: 64, parallelization: 2, blockSize: 8, dkLen: 64 },
    users: [],
  })
  t.strictSame(JSON.parse(firebase.head(undefined) + firebase.tail), { users: [] }, 'a part without users')
  t.end()
})

t.test('more than 120,000 iterations of pbkdf2 are refused', (t) => {
  const hash = (iterations: number) => `pbkdf2_sha256$${iterations}$saltsalt$${'A'.repeat(43)}=`
  t.equal(rendered(hash(120_000)).settings['rounds'], 120_000)
  t.throws(() => rendered(hash(120_001)), /at most 120000/)
  t.end()
})
