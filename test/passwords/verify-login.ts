import { verifyPassword } from '@better-auth/utils/password'
import { argon2Verify, bcryptVerify, createSHA256, pbkdf2, scrypt } from 'hash-wasm'

const WERKZEUG = /^scrypt:(\d+):(\d+):(\d+)\$([^$]+)\$([0-9a-f]{128})$/
const DJANGO = /^pbkdf2_sha256\$(\d+)\$([^$]+)\$([A-Za-z0-9+/]{43}=)$/

/**
 * Whether a system with this hash accepts the password. Uses an implementation other than Node's (hash-wasm): the
 * libraries' own verification for argon2id and bcrypt, and that of Werkzeug, Django and better-auth for the others.
 */
export async function verifyLogin(hash: string, password: string): Promise<boolean> {
  if (hash.startsWith('$argon2id$')) return argon2Verify({ password, hash })
  if (/^\$2[by]\$/.test(hash)) return bcryptVerify({ password, hash })
  if (/^[0-9a-f]{32}:/.test(hash)) return verifyPassword(hash, password)
  const werkzeug = WERKZEUG.exec(hash)
  if (werkzeug) {
    const [, cost, blockSize, lanes, salt = '', hex = ''] = werkzeug
    const costs = { costFactor: Number(cost), blockSize: Number(blockSize), parallelism: Number(lanes) }
    return (await scrypt({ password, salt, ...costs, hashLength: hex.length / 2 })) === hex
  }
  const django = DJANGO.exec(hash)
  if (!django) throw new Error(`unknown hash format: ${hash}`)
  const [, iterations, salt = '', base64] = django
  const sums = { iterations: Number(iterations), hashLength: 32, hashFunction: createSHA256() }
  return Buffer.from(await pbkdf2({ password, salt, ...sums, outputType: 'binary' })).toString('base64') === base64
}
