import type { Preset } from '../passwords/presets.ts'
import { type PasswordHash, parseHash } from './password-hash.ts'
import { hashUnsupported, type Refusal } from './system-format.ts'

/** How an application writes password hashes into its table. */
interface HashForm {
  name: string
  /** Hash settings that the application takes. */
  preset: Preset
  /** The hashes that it takes, as messages list them. */
  takes: string
  /** Returns the text in the table. Undefined if the application does not verify such a hash. */
  write(hash: PasswordHash): string | undefined
}

const bcryptText = (hash: PasswordHash, form = /^\$2[aby]\$/): string | undefined =>
  hash.algorithm === 'bcrypt' && form.test(hash.text) ? hash.text : undefined

/**
 * By the name of the preset of tables. Sources: django/contrib/auth/hashers.py; heartcombo/devise encryptor.rb; PHP's password_get_info,
 * which Laravel asks, knows `$2y$` only; spring-security DelegatingPasswordEncoder; supabase/auth @bc32168 internal/crypto/password.go.
 */
export const HASH_FORMS = {
  django: {
    name: 'Django',
    preset: 'django',
    takes: 'pbkdf2_sha256, argon2id and bcrypt',
    /** Django finds the hasher by the text before the first `$`. */
    write({ algorithm, text }) {
      if (algorithm === 'pbkdf2_sha256') return text
      if (algorithm === 'argon2id') return `argon2${text}`
      return algorithm === 'bcrypt' ? `bcrypt$${text}` : undefined
    },
  },
  'better-auth': {
    name: 'better-auth',
    preset: 'better-auth',
    takes: 'its own scrypt',
    write: ({ algorithm, text }) => (algorithm === 'better_auth' ? text : undefined),
  },
  devise: { name: 'Devise', preset: 'devise', takes: 'bcrypt', write: (hash) => bcryptText(hash) },
  laravel: {
    name: 'Laravel',
    preset: 'laravel',
    takes: 'bcrypt with $2y$',
    write: (hash) => bcryptText(hash, /^\$2y\$/),
  },
  'spring-security': {
    name: 'Spring Security',
    preset: 'spring-security',
    takes: 'bcrypt',
    write(hash) {
      const text = bcryptText(hash)
      return text && `{bcrypt}${text}`
    },
  },
  gotrue: {
    name: 'GoTrue',
    preset: 'gotrue',
    takes: 'bcrypt and argon2id',
    write: (hash) => (hash.algorithm === 'argon2id' ? hash.text : bcryptText(hash)),
  },
} satisfies Record<string, HashForm>

export type HashFormName = keyof typeof HASH_FORMS

/** Returns a stored hash as an application writes it, or why the application does not take it. */
export function writeHash(form: HashFormName, stored: string): string | Refusal {
  const { name, preset, takes, write }: HashForm = HASH_FORMS[form]
  const hash = parseHash(stored)
  const text = hash && write(hash)
  if (text !== undefined) return text
  return hashUnsupported({ name, preset, takes }, hash)
}
