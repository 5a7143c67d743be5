import { createHmac, randomBytes } from 'node:crypto'
import { decrypt, encrypt } from '../secrets/encryption.ts'

/** RFC 4226 recommends 160 bits. They are 32 characters of base32, without padding. */
const SECRET_BYTES = 20
const PERIOD_SECONDS = 30
const DIGITS = 6
const ISSUER = 'usersync'

/** The key is bound to its batch, and cannot take the place of the batch's password. */
const contextOf = (batchId: string) => `${batchId} totp`

/**
 * Makes the random key that the TOTP secrets of a batch's users derive from. It is independent of the password, which may be
 * known to many or chosen by a person.
 */
export const makeTotpKey = () => randomBytes(32).toString('hex')

/** Encrypts the key of a batch. */
export const sealTotpKey = (encryptionKey: Buffer, key: string, batchId: string): Buffer =>
  encrypt(encryptionKey, key, contextOf(batchId))

/** Decrypts the key of a batch. Throws what `decrypt` throws. */
export const openTotpKey = (encryptionKey: Buffer, sealed: Buffer, batchId: string): string =>
  decrypt(encryptionKey, sealed, contextOf(batchId))

/**
 * Derives the TOTP secret of one user from the key of its batch. Always the same, so it need not be stored. HMAC-SHA-256 as a
 * pseudorandom function, as for derived passwords. Any change here changes every secret exported so far; totp.test.ts pins some.
 */
export const deriveTotpSecret = (key: string, userId: string): Buffer =>
  createHmac('sha256', key).update(`totp:${userId}`).digest().subarray(0, SECRET_BYTES)

/** Returns bytes in base32 (RFC 4648) without padding, as authenticator apps and `otpauth://` addresses expect secrets. */
export function base32(bytes: Buffer): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('')
  return (bits.match(/.{1,5}/g) ?? [])
    .map((group) => ALPHABET.charAt(Number.parseInt(group.padEnd(5, '0'), 2)))
    .join('')
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'

/** Returns the code of six digits at the time `now` in milliseconds (RFC 6238: SHA-1, 30 s), and the seconds until the next one. */
export function totpCode(secret: Buffer, now: number): { code: string; expiresIn: number } {
  const seconds = Math.floor(now / 1000)
  const counter = Buffer.alloc(8)
  counter.writeBigUInt64BE(BigInt(Math.floor(seconds / PERIOD_SECONDS)))
  const mac = createHmac('sha1', secret).update(counter).digest()
  const start = mac.readUInt8(mac.length - 1) & 0xf // RFC 4226 section 5.3, dynamic truncation
  const number = (mac.readUInt32BE(start) & 0x7fff_ffff) % 10 ** DIGITS
  return { code: String(number).padStart(DIGITS, '0'), expiresIn: PERIOD_SECONDS - (seconds % PERIOD_SECONDS) }
}

/**
 * Returns the address that authenticator apps read as a QR code (Key URI Format of google-authenticator). The parameters equal the
 * defaults; some importers require them.
 */
export function totpUri(secret: Buffer, username: string): string {
  const label = `${ISSUER}:${encodeURIComponent(username)}`
  return `otpauth://totp/${label}?secret=${base32(secret)}&issuer=${ISSUER}&algorithm=SHA1&digits=${DIGITS}&period=${PERIOD_SECONDS}`
}
