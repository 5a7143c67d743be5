import fc from 'fast-check'
import type { Test } from 'tap'
import { SYSTEMS } from '../../scripts/password-tables.ts'
import { type Algorithm, type HashSettings, hashPassword } from '../../src/passwords/hash-password.ts'
import type { SystemFormat, SystemUser } from '../../src/systems/system-format.ts'
import { sized } from '../size.ts'
import type { Verify } from './strict.ts'

/** Users with names and attributes of any form, without a hash. */
export const users: fc.Arbitrary<SystemUser> = fc
  .record({
    id: fc.uuid({ version: 7 }),
    name: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 }),
    role: fc.string({ minLength: 1, maxLength: 64 }),
    attributes: fc.dictionary(fc.string(), fc.jsonValue()),
    named: fc.record({ first: fc.string({ unit: 'grapheme' }), last: fc.string() }, { requiredKeys: [] }),
    isAddress: fc.boolean(),
    created: fc.date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true }),
  })
  .map(({ id, name, role, attributes, named, isAddress, created }) => {
    const email = `u${id}@example.com`
    const time = created.toISOString().replace('Z', '000Z')
    return {
      ...{ id, username: isAddress ? email : `u${name}u`, email, role },
      custom_attributes: { ...attributes, ...named } as Record<string, unknown>,
      ...{ created_at: time, updated_at: time, password_hash: null },
    }
  })

/** Any user, with these values. */
export const userWith = (values: Partial<SystemUser>): SystemUser => ({
  ...(fc.sample(users, 1)[0] as SystemUser),
  ...values,
})

/** Settings with low costs, so that many hashes can be made. */
const settingsOf = (iterations: number): fc.Arbitrary<HashSettings> =>
  fc.oneof(
    fc.record({
      algorithm: fc.constant('argon2id' as const),
      memory_kib: fc.integer({ min: 16, max: 64 }),
      iterations: fc.integer({ min: 1, max: 3 }),
      parallelism: fc.integer({ min: 1, max: 2 }),
    }),
    fc.record({
      algorithm: fc.constant('scrypt' as const),
      n: fc.constantFrom(2, 16, 64),
      r: fc.integer({ min: 1, max: 8 }),
      p: fc.integer({ min: 1, max: 3 }),
    }),
    fc.record({ algorithm: fc.constant('bcrypt' as const), cost: fc.constant(4), prefix: fc.constantFrom('2b', '2y') }),
    fc.record({
      algorithm: fc.constant('pbkdf2_sha256' as const),
      iterations: fc.integer({ min: iterations, max: iterations + 4 }),
      salt_bytes: fc.constantFrom(8, 16, 16, 22, 64),
    }),
  )

interface Check {
  /** The name in SYSTEMS. */
  system: string
  format: SystemFormat
  /** Reads what was written as strictly as the system, and returns how it verifies passwords. */
  read: (text: string, user: SystemUser) => Verify
  /** Hashes that the system does not take though it takes the algorithm. */
  refuses?: (settings: HashSettings) => boolean
  /** The fewest iterations of PBKDF2 that the system takes. */
  iterations?: number
}

/** Reads a JSON object, and throws unless it is one line, with or without its end. */
export function readLine<Json>(text: string): Json {
  if (text.slice(0, -1).includes('\n')) throw new Error('more than one line')
  return JSON.parse(text) as Json
}

/** Checks a format: what it writes is readable and verifies the password, and what the system does not take is refused. */
export async function checkFormat(t: Test, { system, format, read, refuses = () => false, iterations = 1 }: Check) {
  const taken = Object.keys(SYSTEMS.find(({ name }) => name === system)?.takes ?? {}) as Algorithm[]
  t.not(taken.length, 0, `${system} is one of SYSTEMS`)
  await fc.assert(
    fc.asyncProperty(
      users,
      settingsOf(iterations),
      fc.string({ unit: 'grapheme', maxLength: 15 }),
      async (user, settings, word) => {
        const password = `${word}!`
        const given = { ...user, password_hash: hashPassword(settings, password) }
        const rendering = format.render(given)
        if (!taken.includes(settings.algorithm) || refuses(settings)) {
          if (!('refusal' in rendering) || rendering.refusal.code !== 'hash_unsupported') throw new Error('not refused')
          return
        }
        if (!('rendered' in rendering)) throw new Error(rendering.refusal.detail)
        const verify = read(format.write(rendering.rendered), given)
        if (!(await verify(password))) throw new Error('the password is refused')
        if (await verify(`${password}x`)) throw new Error('another password is accepted')
      },
    ),
    { numRuns: sized(12, 80) },
  )
  const refusalOf = (password_hash: string | null) => {
    const rendering = format.render(userWith({ password_hash }))
    return 'refusal' in rendering ? rendering.refusal.code : undefined
  }
  t.equal(refusalOf(null), 'credential_missing')
  for (const text of ['x', `$wp$2y$04$${'a'.repeat(53)}`, `$1$${'a'.repeat(22)}`])
    t.equal(refusalOf(text), 'hash_unsupported', text)
}

/** Whether two values are the same JSON. */
export function sameJson(found: unknown, wanted: unknown): void {
  const [a, b] = [found, wanted].map((value) => JSON.stringify(value))
  if (a !== b) throw new Error(`${a} is not ${b}`)
}
