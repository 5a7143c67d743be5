import { type Static, Type } from 'typebox'
import type { FieldError } from '../errors.ts'
import { BCRYPT_PREFIXES, scryptBytes } from './hash-algorithms.ts'
import { ALGORITHMS, DEFAULT_COSTS, type HashSettings, hashCostMs, withCosts } from './hash-password.ts'
import { PRESET_NAMES, PRESETS } from './presets.ts'

/** Maximum memory of one hash in a worker thread. Four threads then use half a GiB at once. */
const MAX_HASH_BYTES = 134_217_728

/**
 * Maximum estimated time of one hash. A worker hashes within a transaction, whose connection the database closes after 20 s
 * without a statement (worker-thread.ts). A busy machine takes two to three times the estimate.
 */
export const MAX_HASH_MS = 5_000

const cost = (minimum: number, maximum: number, description: string) =>
  Type.Optional(Type.Integer({ minimum, maximum, description }))

/** The members of `password_hash` in a request, except `distinct`: an algorithm with its options, or a preset. */
export const hashOptions = {
  algorithm: Type.Optional(Type.Enum([...ALGORITHMS])),
  preset: Type.Optional(
    Type.Enum(PRESET_NAMES, {
      description:
        'The system under test: sets the algorithm and its costs, so that the first login does not hash again',
    }),
  ),
  memory_kib: cost(8, MAX_HASH_BYTES / 1024, 'argon2id: memory'),
  iterations: cost(1, 10_000_000, 'argon2id: passes over the memory; pbkdf2_sha256: iterations'),
  parallelism: cost(1, 16, 'argon2id: lanes'),
  cost: cost(4, 15, 'bcrypt: 2^cost rounds'),
  prefix: Type.Optional(Type.Enum([...BCRYPT_PREFIXES], { description: 'bcrypt: how the hash begins, after a `$`' })),
  n: cost(2, 524_288, 'scrypt: N, a power of 2'),
  r: cost(1, 32, 'scrypt: block size'),
  p: cost(1, 16, 'scrypt: parallelization'),
  salt_bytes: cost(8, 64, 'pbkdf2_sha256: characters of the salt, a byte each'),
}

const HashOptions = Type.Object(hashOptions)
export type HashOptions = Static<typeof HashOptions>
type Option = Exclude<keyof HashOptions, 'algorithm' | 'preset'>

/** A fault of `password_hash`; `path` is the member, empty for the whole. */
type Wrong = (path: keyof HashOptions | '', code: string, message: string) => void

/**
 * Returns the settings completed: the preset's, or the algorithm (argon2id by default) with its default costs. Also returns the
 * faults: options that belong to another algorithm or contradict the preset, and costs too high for a worker thread. Options that
 * equal the preset's are accepted, so that the `config` of a batch can be sent again.
 */
export function completeHash(given: HashOptions): { hash: HashSettings; faults: FieldError[] } {
  const faults: FieldError[] = []
  const wrong: Wrong = (path, code, message) => faults.push({ path, code, message })
  const { preset, ...options } = given
  const hash: HashSettings = preset ? PRESETS[preset] : withCosts({ algorithm: given.algorithm ?? 'argon2id' })
  for (const [name, value] of Object.entries(options) as [Option, string | number][]) {
    const settled = (hash as HashOptions)[name]
    if (settled === undefined) {
      wrong(name, 'contradiction', `is an option of ${ownersOf(name)}, not of ${hash.algorithm}`)
    } else if (preset && value !== settled) {
      wrong(name, 'contradiction', `contradicts the preset ${preset}, which sets ${settled}. Omit one of them`)
    }
  }
  const settled = preset ? hash : ({ ...hash, ...options } as HashSettings)
  if (faults.length === 0) checkCosts(settled, wrong)
  return { hash: settled, faults }
}

const ownersOf = (option: Option) => ALGORITHMS.filter((algorithm) => option in DEFAULT_COSTS[algorithm]).join(' and ')

/** Reports costs that the algorithm does not define, or that take too much memory or time. */
function checkCosts(hash: HashSettings, wrong: Wrong): void {
  if (hash.algorithm === 'argon2id' && hash.memory_kib < 8 * hash.parallelism) {
    wrong('memory_kib', 'minimum', `must be at least 8 times the parallelism, ${8 * hash.parallelism} (RFC 9106)`)
  }
  if (hash.algorithm === 'scrypt') {
    if (!Number.isInteger(Math.log2(hash.n))) wrong('n', 'multiple', 'must be a power of 2 (RFC 7914)')
    if (hash.n >= 2 ** (16 * hash.r)) wrong('n', 'maximum', 'must be below 65536 if r is 1 (RFC 7914)')
    if (scryptBytes(hash) > MAX_HASH_BYTES) {
      wrong(
        'n',
        'maximum',
        `needs ${scryptBytes(hash) / 1_048_576} MiB with this r (128 * n * r bytes); the maximum is 128 MiB`,
      )
    }
  }
  const ms = hashCostMs(hash)
  if (ms > MAX_HASH_MS) {
    wrong(
      '',
      'too_expensive',
      `takes about ${seconds(ms)} for one hash; the maximum is ${seconds(MAX_HASH_MS)}. Lower its costs`,
    )
  }
}

const seconds = (ms: number) => `${Math.ceil(ms / 100) / 10} s`
