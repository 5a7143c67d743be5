import fc from 'fast-check'
import { DN } from 'ldapts'
import type { SinkUser } from '../../src/sync/kinds/kind.ts'
import { CODES, faultOf, ResultError, refusalOf } from '../../src/sync/kinds/ldap/faults.ts'
import { type EntryMapping, entryFaults, type RenderedEntry, renderEntry } from '../../src/sync/kinds/ldap/mapping.ts'
import { PRESETS } from '../../src/sync/kinds/ldap/presets.ts'
import { HIDDEN } from '../../src/sync/kinds/values.ts'
import { splitName, writeRdn } from '../../src/systems/distinguished-names.ts'
import { parseHash } from '../../src/systems/password-hash.ts'
import { userPassword } from '../../src/systems/user-password.ts'
import { anyCharacter } from '../any-character.ts'
import { suite } from '../suite.ts'

const t = suite()

const user: SinkUser = {
  id: '01890000-0000-7000-8000-000000000001',
  username: 'ann',
  email: 'ann@example.com',
  role: 'user',
  batch_id: null,
  custom_attributes: { plan: 'gold', age: 30, tags: ['a', 'b', 'a', 1], none: [], '{': 'brace' },
  created_at: '2026-01-01T00:00:00.000000Z',
  updated_at: '2026-01-02T00:00:00.000000Z',
  password_hash: '$argon2id$v=19$m=1024,t=1,p=1$c2FsdA$s3cret',
  password: 's3cret too',
}

const place = { bind_dn: 'cn=admin', base: 'ou=people,dc=example' }
const preset: EntryMapping = { ...place, ...PRESETS['inetorgperson'] } as EntryMapping
const mappingOf = (attributes: object): EntryMapping => ({
  ...preset,
  attributes: { objectClass: 'person', uid: '{username}', cn: '{id}', ...attributes },
})

const entryOf = (mapping: EntryMapping, of: SinkUser = user): RenderedEntry => {
  const result = renderEntry(mapping, of, true)
  if ('refusal' in result) throw new Error(result.refusal.detail)
  return result.rendered
}

t.test('a name is read as it was written, and has no comma or plus but the borders', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: anyCharacter, minLength: 1 }), (value) => {
      const rdn = writeRdn('uid', value)
      if (/[,+;"<>]/.test(rdn)) t.fail(rdn)
      const name = splitName(`${rdn},${place.base}`)
      return name?.value === value && name.attribute === 'uid' && name.parent === place.base
    }),
  )
  t.end()
})

t.test('names as servers write them are read', (t) => {
  // What slapd, 389 Directory Server and ldapts write; RFC 4514, section 4.
  const table: [dn: string, value: string | undefined, parent?: string][] = [
    ['uid=a\\2Cb,dc=x', 'a,b', 'dc=x'],
    ['UID=a\\, b\\+c , dc=x', 'a, b+c', 'dc=x'],
    ['uid=Lu\\C4\\8Di\\C4\\87,dc=x', 'Lučić', 'dc=x'],
    ['uid=a\\\\,dc=x', 'a\\', 'dc=x'],
    ['uid=\\ a\\ ,dc=x', ' a ', 'dc=x'],
    ['uid=x', 'x', ''],
    ['cn=a+uid=b,dc=x', undefined],
    ['cn=#04024869,dc=x', undefined],
    ['uid=a\\', undefined],
    ['', undefined],
  ]
  for (const [dn, value, parent] of table) {
    t.equal(splitName(dn)?.value, value, dn)
    t.equal(splitName(dn)?.parent, parent, dn)
  }
  fc.assert(
    fc.property(fc.stringMatching(/^[^ "\r\n][^"\r\n]*[^ "\r\n]$/), (value) => {
      const dn = new DN({ uid: value, dc: 'x' }).toString()
      return value.startsWith('#') || splitName(dn)?.value === value
    }),
  )
  t.end()
})

t.test('values become those of attributes', (t) => {
  const table: [value: unknown, values: string[]][] = [
    ['{username} is {role}', ['ann is user']],
    ['{custom_attributes.age}', ['30']],
    ['{custom_attributes.tags}', ['a', 'b', '1']],
    ['{custom_attributes.none}', []],
    ['{custom_attributes.constructor}', []],
    ['{batch_id}', []],
    ['', []],
    [null, []],
    [true, ['TRUE']],
    [1.5, ['1.5']],
    [
      ['{email}', '{batch_id}', '{email}', false, '{custom_attributes.tags}'],
      ['ann@example.com', 'FALSE', 'a', 'b', '1'],
    ],
    [{ $member: 'password_hash' }, [`{ARGON2}${user.password_hash}`]],
    [{ $member: 'password_hash', prefix: '{X}' }, [`{X}${user.password_hash}`]],
    [{ $member: 'password' }, ['s3cret too']],
    [{ $member: 'role' }, ['user']],
  ]
  for (const [value, values] of table) {
    t.strictSame(entryFaults(mappingOf({ description: value })), [], JSON.stringify(value))
    t.strictSame(entryOf(mappingOf({ description: value })).attributes['description'], values, JSON.stringify(value))
  }
  t.end()
})

t.test('each user has its own name, whatever the username', (t) => {
  fc.assert(
    fc.property(
      fc.string({ unit: anyCharacter, minLength: 1 }),
      fc.string({ unit: anyCharacter, minLength: 1 }),
      (a, b) => {
        const [first, second] = [a, b].map((username) => entryOf(preset, { ...user, username }))
        const [uid, ...others] = first?.attributes['uid'] ?? []
        if (uid !== a || others.length > 0) t.fail(`${uid} is not ${a}`)
        return (first?.dn === second?.dn) === (a === b) && splitName(first?.dn ?? '')?.value === a
      },
    ),
  )
  const { rendered } = renderEntry(mappingOf({ uid: '{batch_id}' }), user, true) as { rendered?: unknown }
  t.equal(rendered, undefined)
  t.match(renderEntry(mappingOf({ uid: '{batch_id}' }), user, true), { refusal: { code: 'value_missing' } })
  t.match(renderEntry(mappingOf({ uid: '{custom_attributes.tags}' }), user, true), {
    refusal: { code: 'value_missing' },
  })
  t.end()
})

t.test('no secret is in what a dry run shows', (t) => {
  t.strictSame(entryFaults(preset), [])
  const both = { ...preset, attributes: { ...preset.attributes, description: { $member: 'password' } } }
  const shown = JSON.stringify(renderEntry(both, user, false))
  t.notOk(shown.includes('s3cret'))
  t.ok(shown.includes(HIDDEN))
  t.match(renderEntry(preset, { ...user, password_hash: null }, true), { refusal: { code: 'credential_missing' } })
  t.match(renderEntry(preset, { ...user, password_hash: 'scrypt:1:1:1$a$00' }, false), {
    refusal: { code: 'hash_unsupported' },
  })
  t.end()
})

function ldapForm(hash: string): string | undefined {
  const parsed = parseHash(hash)
  return parsed && userPassword(parsed)
}

t.test('hashes have the scheme of LDAP in front', (t) => {
  const key = `+/${'8'.repeat(41)}`
  const table: [hash: string, value: string | undefined][] = [
    ['$argon2id$v=19$m=1024,t=1,p=1$c2FsdA$aGFzaA', '{ARGON2}$argon2id$v=19$m=1024,t=1,p=1$c2FsdA$aGFzaA'],
    [`$2b$10$${'a'.repeat(53)}`, `{CRYPT}$2b$10$${'a'.repeat(53)}`],
    [`$2y$10$${'a'.repeat(53)}`, `{CRYPT}$2y$10$${'a'.repeat(53)}`],
    [
      `pbkdf2_sha256$1000$0123456789abcdef$${key}=`,
      `{PBKDF2-SHA256}1000$MDEyMzQ1Njc4OWFiY2RlZg$${key.replace('+', '.')}`,
    ],
    [`pbkdf2_sha256$1000$0123456789abcdefghijkl$${key}=`, undefined],
    // As crypt(3) of libxcrypt 4.4 computes it for TestPass123!.
    [
      'scrypt:32768:8:1$saltsaltsaltsalt$6e97d52c91dc949916e770707b3ee88638f59b9ebc7ae6bba3b22419ff94efe1761a24b7ac98ab5bdbd7a425726e8e8720d9ec08014a11b1e03b806615e83f9e',
      '{CRYPT}$7$D6..../....saltsaltsaltsalt$iRNpg27rIad3b15Qvt1u4WHxPu7juNyiX897NwDZj5C',
    ],
    ['scrypt:32768:8:1$salt$00', undefined],
    ['$wp$2y$10$abc', undefined],
    ['00:00', undefined],
    ['', undefined],
  ]
  for (const [hash, value] of table) t.equal(ldapForm(hash), value, hash)
  t.end()
})

t.test('every result code has a fault or a refusal with a sentence, and no text of the server', (t) => {
  for (let code = 1; code <= 123; code++) {
    const error = new ResultError(code, 'mail')
    t.match(faultOf(error).message, new RegExp(`^[\\w.]+.* \\(LDAP result ${code}\\): attribute mail\\.$`))
    const refusal = refusalOf(error)
    if (refusal) t.match(refusal.detail, new RegExp(`\\(LDAP result ${code}\\): attribute mail\\.$`))
  }
  const faults = { 49: 'unauthorized', 50: 'unauthorized', 51: 'busy', 52: 'busy', 53: 'refused', 80: 'server_error' }
  for (const [code, fault] of Object.entries(faults)) t.equal(faultOf(new ResultError(Number(code))).fault, fault, code)
  t.match(refusalOf(new ResultError(CODES.entryAlreadyExists)), { code: 'exists_already' })
  t.match(refusalOf(new ResultError(66)), { code: 'still_referenced' })
  for (const code of [CODES.noSuchObject, 49, 50, 51, 80]) t.equal(refusalOf(new ResultError(code)), undefined)
  t.throws(() => faultOf(new TypeError('a mistake')), { message: 'a mistake' })
  t.end()
})
