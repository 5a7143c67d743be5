import { argon2Sync, randomBytes } from 'node:crypto'

/** OWASP's minimum for argon2id (Password Storage Cheat Sheet): 19 MiB, 2 passes, 1 lane; 35 to 55 ms of one core. */
const MEMORY_KIB = 19_456
const PASSES = 2
const LANES = 1

const unpadded = (bytes: Buffer) => bytes.toString('base64').replace(/=+$/, '')

/**
 * Hashes a password with argon2id (RFC 9106) and a random salt, as a PHC string that common libraries verify. Blocks the thread,
 * so it belongs in a worker thread.
 */
export function hashArgon2id(password: string, salt = randomBytes(16)): string {
  const hash = argon2Sync('argon2id', {
    message: password,
    nonce: salt,
    parallelism: LANES,
    tagLength: 32,
    memory: MEMORY_KIB,
    passes: PASSES,
  })
  return `$argon2id$v=19$m=${MEMORY_KIB},t=${PASSES},p=${LANES}$${unpadded(salt)}$${unpadded(hash)}`
}
