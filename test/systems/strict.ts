import { pbkdf2Sync } from 'node:crypto'
import { argon2id, bcryptVerify, scrypt } from 'hash-wasm'

/*
 * What servers check, and how they verify a password with what they have read: with hash-wasm, not with Node's own functions. But
 * its PBKDF2 takes 100 times as long as Node's, so test/passwords/pbkdf2-sha256.test.ts alone compares the two.
 */

/** Throws unless the object has exactly these members. */
export function members<Name extends string>(object: unknown, ...names: Name[]): Record<Name, unknown> {
  const found = Object.keys(object as object).toSorted()
  if (JSON.stringify(found) !== JSON.stringify(names.toSorted())) throw new Error(`members: ${found}`)
  return object as Record<Name, unknown>
}

/** Decodes base64 with padding, and throws for any other form. */
export function paddedBase64(text: unknown): Uint8Array {
  const bytes = Buffer.from(String(text), 'base64')
  if (bytes.toString('base64') !== text) throw new Error(`no padded base64: ${text}`)
  return bytes
}

/** Decodes base64 without padding, and throws for any other form. */
export function rawBase64(text: unknown): Uint8Array {
  const bytes = Buffer.from(String(text), 'base64')
  if (bytes.toString('base64').replaceAll('=', '') !== text) throw new Error(`no unpadded base64: ${text}`)
  return bytes
}

/** Whether a server accepts a password. */
export type Verify = (password: string) => Promise<boolean>

interface Stored {
  salt: Uint8Array
  hash: Uint8Array
}

const isSame = (computed: Uint8Array, { hash }: Stored) => Buffer.from(computed).equals(hash)

export const verifyArgon2id =
  (stored: Stored, iterations: number, memorySize: number, parallelism: number): Verify =>
  async (password) => {
    const { salt, hash } = stored
    const settings = { password, salt, iterations, memorySize, parallelism, hashLength: hash.length }
    return isSame(await argon2id({ ...settings, outputType: 'binary' }), stored)
  }

export const verifyScrypt =
  (stored: Stored, costFactor: number, blockSize: number, parallelism: number): Verify =>
  async (password) => {
    const { salt, hash } = stored
    const settings = { password, salt, costFactor, blockSize, parallelism, hashLength: hash.length }
    return isSame(await scrypt({ ...settings, outputType: 'binary' }), stored)
  }

export const verifyPbkdf2 =
  (stored: Stored, iterations: number): Verify =>
  async (password) =>
    isSame(pbkdf2Sync(password, stored.salt, iterations, stored.hash.length, 'sha256'), stored)

export const verifyBcrypt =
  (hash: string): Verify =>
  (password) =>
    bcryptVerify({ password, hash })

/** Reads the PHC string of PBKDF2, with base64 without padding. */
export function verifyPhcPbkdf2(text: unknown): Verify {
  const [, iterations, length, salt, hash] =
    /^\$pbkdf2-sha256\$i=(\d+),l=(\d+)\$([^$]+)\$([^$]+)$/.exec(String(text)) ?? []
  const stored = { salt: rawBase64(salt), hash: rawBase64(hash) }
  if (stored.hash.length !== Number(length)) throw new Error(`length ${length}`)
  return verifyPbkdf2(stored, Number(iterations))
}

/** Reads the PHC string of argon2id. */
export function verifyPhcArgon2id(text: unknown): Verify {
  const [, memory, iterations, lanes, salt, hash] =
    /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([^$]+)\$([^$]+)$/.exec(String(text)) ?? []
  return verifyArgon2id(
    { salt: rawBase64(salt), hash: rawBase64(hash) },
    Number(iterations),
    Number(memory),
    Number(lanes),
  )
}
