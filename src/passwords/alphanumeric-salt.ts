import { randomInt } from 'node:crypto'

const CHARACTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

/**
 * A random salt of letters and digits, as Django and Werkzeug make them: 5.95 bits a character. Nothing else may be in
 * it: passlib refuses a Django hash whose salt has the `-` or `_` of base64url.
 */
export function alphanumericSalt(length: number): string {
  return Array.from({ length }, () => CHARACTERS.charAt(randomInt(CHARACTERS.length))).join('')
}
