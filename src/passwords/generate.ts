import { randomInt } from 'node:crypto'

const CLASSES = ['ABCDEFGHJKLMNPQRSTUVWXYZ', 'abcdefghijkmnpqrstuvwxyz', '23456789', '!#%+-=?@_']
const LENGTH = 20

const pick = (text: string) => text.charAt(randomInt(text.length))

/** Generates a random password of 20 characters, with at least one of each class that password rules require; at least 117 bits. */
export function generatePassword(): string {
  const characters = CLASSES.map(pick)
  while (characters.length < LENGTH) characters.push(pick(CLASSES.join('')))
  for (let i = characters.length - 1; i > 0; i--) {
    const j = randomInt(i + 1)
    ;[characters[i], characters[j]] = [characters[j] ?? '', characters[i] ?? '']
  }
  return characters.join('')
}

const SALT_CHARACTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

/**
 * Returns a random salt of letters and digits, like those of Django and Werkzeug: 5.95 bits a character. Other characters are not
 * safe: passlib rejects a Django hash whose salt has the `-` or `_` of base64url.
 */
export function alphanumericSalt(length: number): string {
  return Array.from({ length }, () => SALT_CHARACTERS.charAt(randomInt(SALT_CHARACTERS.length))).join('')
}
