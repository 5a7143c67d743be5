import type { Algorithm } from '../src/passwords/hash-password.ts'
import { PRESET_NAMES, PRESETS, type Preset } from '../src/passwords/presets.ts'

/** What a system under test does with hashes. */
interface System {
  name: string
  presets: Preset[]
  /** The algorithms whose hashes it verifies, and what becomes of the exported text. */
  takes: Partial<Record<Algorithm, string>>
  /** When the first login hashes the password again. */
  rehash: string
  source: string
}

/** The systems under test behind the presets. docs/passwords.md shows this as a table. */
export const SYSTEMS: System[] = [
  {
    name: 'Auth0',
    presets: ['auth0'],
    takes: {
      bcrypt: '`password_hash`, cost 10, as it is',
      argon2id: '`custom_password_hash`, as it is',
      scrypt: '`custom_password_hash`: hex, salt as UTF-8, keylen 64',
      pbkdf2_sha256: '`custom_password_hash`: PHC, base64 without padding',
    },
    rehash: '`custom_password_hash` is replaced, `password_hash` with cost 10 is not',
    source: 'auth0/docs-v2 bulk-user-import-schema.mdx @03dc323',
  },
  {
    name: 'better-auth',
    presets: ['better-auth'],
    takes: { better_auth: 'as it is' },
    rehash: 'none found',
    source: 'npm @better-auth/utils 0.5.1, password',
  },
  {
    name: 'Devise (Rails)',
    presets: ['devise'],
    takes: { bcrypt: 'as it is, without a pepper' },
    rehash: 'none found',
    source: 'heartcombo/devise, initializer: 12 stretches outside of tests',
  },
  {
    name: 'Django',
    presets: PRESET_NAMES.filter((name) => name.startsWith('django')),
    takes: {
      pbkdf2_sha256: 'as it is',
      argon2id: '`argon2` in front of the text; needs argon2-cffi and its hasher',
      bcrypt: '`bcrypt$` in front; needs its hasher',
    },
    rehash: 'if the hasher is not the preferred one, the iterations differ, or the salt has under 128 bits',
    source: 'django/contrib/auth/hashers.py, release notes of 4.0 to 6.1',
  },
  {
    name: 'Firebase',
    presets: ['firebase'],
    takes: {
      bcrypt: '`BCRYPT`, base64 of the whole text',
      scrypt: '`STANDARD_SCRYPT`, base64 of hash and salt',
      pbkdf2_sha256: '`PBKDF2_SHA256`, only up to 120,000 iterations',
    },
    rehash: 'always: the first login replaces any imported hash by Firebase’s own scrypt, which no preset avoids',
    source: 'firebase/scrypt README.md; firebase-tools @a786bda',
  },
  {
    name: 'FusionAuth',
    presets: ['fusionauth'],
    takes: {
      pbkdf2_sha256: '`salted-pbkdf2-hmac-sha256`: factor, base64 of salt and hash',
      bcrypt: 'split: factor, 22 characters of salt, 31 of hash',
    },
    rehash:
      'if the tenant sets `modifyEncryptionSchemeOnLogin` and scheme or factor differ from the tenant’s (default 24,000)',
    source: 'fusionauth-site reference/password-hashes.mdx @0f7f5fe',
  },
  {
    name: 'Keycloak',
    presets: ['keycloak'],
    takes: {
      argon2id: 'split, both base64 with padding',
      pbkdf2_sha256: '`pbkdf2-sha256`: salt as base64 of its text, value as it is',
    },
    rehash: 'if type, version, length, memory, iterations or parallelism differ from the realm’s policy',
    source: 'keycloak/keycloak Argon2Parameters.java @5ffdbd9, PasswordCredentialProvider.java @01a9d6b',
  },
  {
    name: 'Laravel',
    presets: ['laravel'],
    takes: { bcrypt: '`2y` as it is; `2b` is rejected', argon2id: 'only with the driver argon2id' },
    rehash: 'if the cost is not `BCRYPT_ROUNDS` (default 12), since Laravel 11',
    source: 'laravel/framework config/hashing.php; PHP 8.2 password_get_info',
  },
  {
    name: 'Okta',
    presets: ['okta'],
    takes: {
      bcrypt: 'split: workFactor, 22 characters of salt, 31 of value',
      pbkdf2_sha256: '`PBKDF2`: iterationCount, keySize 32, base64 of salt and value',
    },
    rehash: 'not documented',
    source: 'okta-sdk-golang model_password_credential_hash.go @149d9a9',
  },
  {
    name: 'OpenLDAP',
    presets: ['openldap'],
    takes: {
      argon2id: '`{ARGON2}` in front; module argon2',
      bcrypt: '`{CRYPT}` in front, if crypt(3) knows `$2b$`',
      pbkdf2_sha256: '`{PBKDF2-SHA256}`; module pw-pbkdf2, only with `salt_bytes: 16`',
      scrypt: '`{CRYPT}$7$`, the first 32 bytes, if crypt(3) knows `$7$`',
    },
    rehash: 'none found',
    source: 'openldap/openldap servers/slapd/pwmods/argon2.c @073232b; contrib pw-pbkdf2.c',
  },
  {
    name: 'Ory Kratos',
    presets: ['kratos'],
    takes: {
      bcrypt: 'as it is',
      argon2id: 'as it is',
      scrypt: '`$scrypt$ln=<N>,r=8,p=1$`, base64 with padding',
      pbkdf2_sha256: '`$pbkdf2-sha256$i=<iterations>,l=32$`, base64 without padding',
    },
    rehash: 'if the type is not `hashers.algorithm` (default bcrypt, cost 12)',
    source: 'ory/kratos selfservice/strategy/password/login.go @b86338d',
  },
  {
    name: 'Spring Security',
    presets: ['spring-security'],
    takes: {
      bcrypt: '`{bcrypt}` in front',
      argon2id: '`{argon2@SpringSecurity_v5_8}` in front',
      scrypt: '`{scrypt}$<parameters>$`, base64 of the salt and of the first 32 bytes',
    },
    rehash:
      'if the encoder is not the default one, or the cost is below its strength (10), with a UserDetailsPasswordService',
    source: 'spring-security DelegatingPasswordEncoder, BCryptPasswordEncoder',
  },
  {
    name: 'Supabase (GoTrue)',
    presets: ['supabase', 'gotrue'],
    takes: { bcrypt: 'as it is', argon2id: 'as it is' },
    rehash: 'none found',
    source: 'supabase/auth @bc32168',
  },
  {
    name: 'SuperTokens',
    presets: ['supertokens'],
    takes: { bcrypt: 'as it is', argon2id: 'as it is' },
    rehash: 'none found',
    source: 'supertokens/supertokens-core config.yaml @0234beb (bcrypt_log_rounds 11)',
  },
  {
    name: 'WordPress 6.8+',
    presets: ['wordpress', 'wordpress-php-8.3'],
    takes: { bcrypt: '`wp$2y` as it is; `2y` and `2b` are verified', argon2id: 'as it is, if PHP has argon2' },
    rehash: 'if the prefix is not `$wp$2y$`, or the cost is not PHP’s default: 12 since PHP 8.4, 10 before',
    source: 'wordpress-develop wp-includes/pluggable.php, wp_hash_password and wp_password_needs_rehash',
  },
]

/** The systems as a table in Markdown (`npm run settings-table` writes it). */
export function systemsTable(): string {
  const rows = SYSTEMS.map(({ name, presets, takes, rehash, source }) => {
    const first = presets.map((preset) => `\`${preset}\``).join(', ')
    const forms = Object.entries(takes).map(([algorithm, form]) => `${algorithm}: ${form}`)
    return `| ${name} | ${first} | ${forms.join('. ')} | ${rehash} | ${source} |`
  })
  return [
    '| system | presets | takes | hashes again at login | source |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
  ].join('\n')
}

/** The presets as a table in Markdown. */
export function presetsTable(): string {
  const rows = PRESET_NAMES.map((preset) => {
    const { algorithm, ...costs } = PRESETS[preset]
    const shown = Object.entries(costs).map(([name, value]) => `${name} ${value}`)
    return `| \`${preset}\` | ${algorithm} | ${shown.join(', ')} |`
  })
  return ['| preset | algorithm | costs |', '| --- | --- | --- |', ...rows].join('\n')
}
