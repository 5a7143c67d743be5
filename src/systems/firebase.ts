import { base64, type PasswordHash } from './password-hash.ts'
import { jsonBetween, namesOf, renderer, type SystemFormat, type SystemUser } from './system-format.ts'

/** A user of a request, and the hash settings that its request must have. */
export interface FirebaseUser {
  user: {
    localId: string
    email: string
    emailVerified: true
    displayName: string
    passwordHash: string
    salt?: string
    /** JSON text: the claims of the user's tokens. */
    customAttributes: string
    /** Milliseconds since 1970, as text. */
    createdAt: string
  }
  settings: Record<string, string | number>
}

interface FirebasePassword {
  passwordHash: string
  salt?: string
  settings: FirebaseUser['settings']
}

/**
 * The body of `POST /v1/projects/{project}/accounts:batchCreate`. A request has one hash setting, so a part ends where the setting
 * changes. `firebase auth:import` reads the same file, and takes the setting as options. Custom attributes are no claims, and stay
 * out. Source: firebase/firebase-tools @a786bda accountImporter.ts.
 */
export const firebase: SystemFormat<FirebaseUser> = {
  ...jsonBetween('', '\n]}\n'),
  hasPasswords: true,
  part: { users: 1_000, bytes: 8_000_000 },
  head: (first) => `${JSON.stringify({ ...first?.settings, users: [] }).slice(0, -2)}\n`,
  write: ({ user }) => JSON.stringify(user),
  render: renderer({
    name: 'Firebase',
    preset: 'firebase',
    takes: 'bcrypt, scrypt, and pbkdf2_sha256 with at most 120000 iterations',
    password: passwordOf,
    object: userOf,
  }),
}

/** Hash and salt are base64 in the URL's alphabet. */
function passwordOf(hash: PasswordHash): FirebasePassword | undefined {
  if (hash.algorithm === 'bcrypt') return { passwordHash: forUrl(hash.text), settings: { hashAlgorithm: 'BCRYPT' } }
  if (hash.algorithm === 'scrypt') {
    const { n, r, p } = hash
    const costs = { cpuMemCost: n, parallelization: p, blockSize: r, dkLen: hash.hash.length }
    return salted(hash, { hashAlgorithm: 'STANDARD_SCRYPT', ...costs })
  }
  if (hash.algorithm === 'pbkdf2_sha256' && hash.iterations <= 120_000)
    return salted(hash, { hashAlgorithm: 'PBKDF2_SHA256', rounds: hash.iterations })
  return undefined
}

const salted = ({ hash, salt }: { hash: Buffer; salt: string }, settings: FirebaseUser['settings']) => ({
  ...{ passwordHash: forUrl(hash), salt: forUrl(salt) },
  settings,
})

const forUrl = (value: Buffer | string) => base64(value).replaceAll('+', '-').replaceAll('/', '_')

function userOf(user: SystemUser, { settings, ...password }: FirebasePassword): FirebaseUser {
  const { id, username, email, role, created_at } = user
  const { first, last } = namesOf(user)
  const displayName = [first, last].filter((name) => name !== undefined).join(' ') || username
  const claims = { customAttributes: JSON.stringify({ role }), createdAt: String(Date.parse(created_at)) }
  return { user: { localId: id, email, emailVerified: true, displayName, ...password, ...claims }, settings }
}
