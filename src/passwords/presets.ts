import type { HashSettings } from './hash-password.ts'

const bcrypt = (cost: number, prefix: '2b' | '2y' | 'wp$2y' = '2b') => ({ algorithm: 'bcrypt', cost, prefix }) as const
const django = (iterations: number) => ({ algorithm: 'pbkdf2_sha256', iterations, salt_bytes: 22 }) as const
const argon2id = (memory_kib: number, iterations: number) =>
  ({ algorithm: 'argon2id', memory_kib, iterations, parallelism: 1 }) as const

/**
 * The hash settings of systems under test, by name: an algorithm that the system verifies, at the costs that it uses itself. So the
 * first login costs what every later one costs. Many systems hash again at the first login if the costs differ, and a load test
 * would measure that. A name without a version means the newest one.
 */
export const PRESETS = {
  auth0: bcrypt(10),
  'better-auth': { algorithm: 'better_auth' },
  devise: bcrypt(12),
  'django-3.2': django(260_000),
  'django-4.0': django(320_000),
  'django-4.1': django(390_000),
  'django-4.2': django(600_000),
  'django-5.0': django(720_000),
  'django-5.1': django(870_000),
  'django-5.2': django(1_000_000),
  'django-6.0': django(1_200_000),
  'django-6.1': django(1_500_000),
  django: django(1_500_000),
  firebase: bcrypt(10),
  fusionauth: django(24_000),
  gotrue: bcrypt(10),
  keycloak: argon2id(7_168, 5),
  kratos: bcrypt(12),
  laravel: bcrypt(12, '2y'),
  okta: bcrypt(10),
  openldap: argon2id(19_456, 2),
  'spring-security': bcrypt(10),
  supabase: bcrypt(10),
  supertokens: bcrypt(11),
  wordpress: bcrypt(12, 'wp$2y'),
  'wordpress-php-8.3': bcrypt(10, 'wp$2y'),
} as const satisfies Record<string, HashSettings>

export type Preset = keyof typeof PRESETS

export const PRESET_NAMES = Object.keys(PRESETS) as Preset[]
