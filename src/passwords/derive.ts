import { createHmac } from 'node:crypto'

/** The characters of `generatePassword`: none that is easily misread. */
const ALPHABET = 'ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789!#%+-=?@_'
const REQUIRED = [/[A-Z]/, /[a-z]/, /[0-9]/, /[^A-Za-z0-9]/]
const LENGTH = 20

/** 195: bytes from here on are passed over, so that each of the 65 characters has exactly 3 byte values. */
const FAIR_BYTES = 256 - (256 % ALPHABET.length)

/**
 * The password of one user, from the secret of its batch: always the same, so that it can be told again and need not be
 * stored. 20 characters with at least one upper-case letter, lower-case letter, digit and special character; all
 * passwords of that kind are equally likely (120 bits). About 10 µs.
 *
 * Rests on HMAC-SHA-256 being a pseudorandom function, keyed with the secret and run in counter mode over the user's id
 * (NIST SP 800-108): who knows some users' passwords learns nothing of the others'. But one password is enough to test
 * guesses at the secret, so the secret must be random (`generatePassword`: 117 bits), not what a person chose. Any
 * change here changes every password told so far; derive.test.ts holds some of them fast.
 */
export function derivePassword(secret: string, userId: string): string {
  let password = ''
  for (let block = 0; ; block++) {
    for (const byte of createHmac('sha256', secret).update(`${block}:${userId}`).digest()) {
      if (byte >= FAIR_BYTES) continue
      password += ALPHABET.charAt(byte % ALPHABET.length)
      if (password.length < LENGTH) continue
      if (REQUIRED.every((each) => each.test(password))) return password
      password = '' // 12 % lack a class; mending them would make some passwords likelier than others
    }
  }
}
