import { createHmac, randomInt } from 'node:crypto'

/** The characters of passwords by class, without those that are easy to misread. Password rules require one of each class. */
const CLASSES = ['ABCDEFGHJKLMNPQRSTUVWXYZ', 'abcdefghijkmnpqrstuvwxyz', '23456789', '!#%+-=?@_']
const ALPHABET = CLASSES.join('')
const LENGTH = 20

const pick = (text: string) => text.charAt(randomInt(text.length))

/** Generates a random password of 20 characters, with at least one of each class; at least 117 bits. */
export function generatePassword(): string {
  const characters = CLASSES.map(pick)
  while (characters.length < LENGTH) characters.push(pick(ALPHABET))
  for (let i = characters.length - 1; i > 0; i--) {
    const j = randomInt(i + 1)
    ;[characters[i], characters[j]] = [characters[j] ?? '', characters[i] ?? '']
  }
  return characters.join('')
}

const REQUIRED = [/[A-Z]/, /[a-z]/, /[0-9]/, /[^A-Za-z0-9]/]

/** 195. Larger bytes are skipped, so that each of the 65 characters has exactly 3 byte values. */
const FAIR_BYTES = 256 - (256 % ALPHABET.length)

/**
 * Derives a password from the batch secret and the id of a credential. Always the same, so it need not be stored. 20
 * characters with at least one upper-case letter, lower-case letter, digit and special character; all such passwords are equally
 * likely (120 bits). Takes about 10 µs.
 *
 * Relies on HMAC-SHA-256 as a pseudorandom function, keyed with the secret and run in counter mode over the id (NIST
 * SP 800-108): some users' passwords reveal nothing about the others. But one password is enough to test guesses at the
 * secret, so the secret must be random (`generatePassword`: 117 bits), not chosen by a person. Any change here changes every
 * password exported so far; derive.test.ts pins some of them.
 */
export function derivePassword(secret: string, id: string): string {
  let password = ''
  for (let block = 0; ; block++) {
    for (const byte of createHmac('sha256', secret).update(`${block}:${id}`).digest()) {
      if (byte >= FAIR_BYTES) continue
      password += ALPHABET.charAt(byte % ALPHABET.length)
      if (password.length < LENGTH) continue
      if (REQUIRED.every((each) => each.test(password))) return password
      password = '' // 12 % lack a class; repairing them would bias the distribution
    }
  }
}

/**
 * Returns the password of the n-th credential of a batch: the batch secret itself, or a password derived from it. It
 * does not depend on the pool, so a population that is created again has the same passwords.
 */
export function passwordOf(mode: 'shared' | 'per_user', secret: string, n: number): string {
  return mode === 'shared' ? secret : derivePassword(secret, String(n))
}
