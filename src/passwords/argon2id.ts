import { argon2Sync, randomBytes } from 'node:crypto'

export interface Argon2idCosts {
  memory_kib: number
  /** Passes over the memory. */
  iterations: number
  /** Lanes. One thread computes them all, so more lanes cost the same. */
  parallelism: number
}

/** OWASP's minimum for argon2id (Password Storage Cheat Sheet): 19 MiB, 2 passes, 1 lane; 35 to 55 ms of one core. */
export const ARGON2ID_COSTS: Argon2idCosts = { memory_kib: 19_456, iterations: 2, parallelism: 1 }

const unpadded = (bytes: Buffer) => bytes.toString('base64').replace(/=+$/, '')

/**
 * Hashes a password with argon2id (RFC 9106) and a random salt, as a PHC string that common libraries verify. Blocks the thread,
 * so it belongs in a worker thread.
 */
export function hashArgon2id(
  password: string,
  { memory_kib, iterations, parallelism } = ARGON2ID_COSTS,
  salt = randomBytes(16),
): string {
  const hash = argon2Sync('argon2id', {
    message: password,
    nonce: salt,
    parallelism,
    tagLength: 32,
    memory: memory_kib,
    passes: iterations,
  })
  return `$argon2id$v=19$m=${memory_kib},t=${iterations},p=${parallelism}$${unpadded(salt)}$${unpadded(hash)}`
}
