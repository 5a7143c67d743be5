import { randomInt } from 'node:crypto'

const CHARACTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

/**
 * Returns a random salt of letters and digits, like those of Django and Werkzeug: 5.95 bits a character. Other characters are not
 * safe: passlib rejects a Django hash whose salt has the `-` or `_` of base64url.
 */
export function alphanumericSalt(length: number): string {
  return Array.from({ length }, () => CHARACTERS.charAt(randomInt(CHARACTERS.length))).join('')
}
