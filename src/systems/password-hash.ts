/** A stored hash (src/passwords) in its parts. `text` is the hash as stored. */
export type PasswordHash =
  | Argon2idHash
  | BcryptHash
  | ScryptHash
  | Pbkdf2Hash
  | { algorithm: 'better_auth'; text: string }
  | { algorithm: 'WordPress’s bcrypt'; text: string }

export interface Argon2idHash {
  algorithm: 'argon2id'
  text: string
  memory_kib: number
  iterations: number
  parallelism: number
  salt: Buffer
  hash: Buffer
}

export interface BcryptHash {
  algorithm: 'bcrypt'
  text: string
  cost: number
  /** 22 characters of bcrypt's own base64. */
  salt: string
  /** 31 characters of bcrypt's own base64. */
  hash: string
}

export interface ScryptHash {
  algorithm: 'scrypt'
  text: string
  n: number
  r: number
  p: number
  /** Text that is used as its own bytes. */
  salt: string
  hash: Buffer
}

export interface Pbkdf2Hash {
  algorithm: 'pbkdf2_sha256'
  text: string
  iterations: number
  /** Text that is used as its own bytes. */
  salt: string
  hash: Buffer
}

const ARGON2ID = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/
const BCRYPT = /^\$2[by]\$(\d\d)\$([./A-Za-z0-9]{22})([./A-Za-z0-9]{31})$/
const SCRYPT = /^scrypt:(\d+):(\d+):(\d+)\$([A-Za-z0-9]+)\$([0-9a-f]{128})$/
const PBKDF2 = /^pbkdf2_sha256\$(\d+)\$([A-Za-z0-9]+)\$([A-Za-z0-9+/]{43}=)$/
const BETTER_AUTH = /^[0-9a-f]{32}:[0-9a-f]{128}$/

/** Splits a stored hash. Undefined if no algorithm of a batch writes it. */
export function parseHash(text: string): PasswordHash | undefined {
  const argon2id = ARGON2ID.exec(text)
  if (argon2id) {
    const [, memory, iterations, parallelism, salt = '', hash = ''] = argon2id
    const costs = { memory_kib: Number(memory), iterations: Number(iterations), parallelism: Number(parallelism) }
    return { algorithm: 'argon2id', text, ...costs, salt: fromBase64(salt), hash: fromBase64(hash) }
  }
  const bcrypt = BCRYPT.exec(text)
  if (bcrypt) {
    const [, cost, salt = '', hash = ''] = bcrypt
    return { algorithm: 'bcrypt', text, cost: Number(cost), salt, hash }
  }
  const scrypt = SCRYPT.exec(text)
  if (scrypt) {
    const [, n, r, p, salt = '', hash = ''] = scrypt
    return { algorithm: 'scrypt', text, n: Number(n), r: Number(r), p: Number(p), salt, hash: Buffer.from(hash, 'hex') }
  }
  const pbkdf2 = PBKDF2.exec(text)
  if (pbkdf2) {
    const [, iterations, salt = '', hash = ''] = pbkdf2
    return { algorithm: 'pbkdf2_sha256', text, iterations: Number(iterations), salt, hash: fromBase64(hash) }
  }
  if (BETTER_AUTH.test(text)) return { algorithm: 'better_auth', text }
  if (text.startsWith('$wp$2y$')) return { algorithm: 'WordPress’s bcrypt', text }
  return undefined
}

const fromBase64 = (text: string) => Buffer.from(text, 'base64')

/** Base64 with padding; a text stands for its bytes in UTF-8. */
export const base64 = (value: Buffer | string) => Buffer.from(value as string).toString('base64')

/** Base64 without padding, as PHC strings have it. */
const unpaddedBase64 = (value: Buffer | string) => base64(value).replace(/=+$/, '')

/** The PHC string of PBKDF2. */
export const phcPbkdf2 = ({ iterations, salt, hash }: Pbkdf2Hash) =>
  `$pbkdf2-sha256$i=${iterations},l=${hash.length}$${unpaddedBase64(salt)}$${unpaddedBase64(hash)}`
