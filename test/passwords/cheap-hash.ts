import { type HashSettings, hashPassword } from '../../src/passwords/hash-password.ts'
import { PRESETS, type Preset } from '../../src/passwords/presets.ts'

const LOWEST_COSTS = {
  argon2id: { memory_kib: 8, iterations: 1 },
  bcrypt: { cost: 4 },
  pbkdf2_sha256: { iterations: 1 },
  better_auth: {},
}

const made = new Map<Preset, string>()

/**
 * Returns a hash in the form that a preset's application stores, at the lowest costs: 2 ms instead of up to 500. better_auth has
 * fixed costs, 0.1 s a hash, so each preset has one hash for all tests.
 */
export function cheapHash(preset: Preset): string {
  const settings = PRESETS[preset]
  const cheap = { ...settings, ...LOWEST_COSTS[settings.algorithm] } as HashSettings
  const hash = made.get(preset) ?? hashPassword(cheap, 'TestPass123!') ?? ''
  made.set(preset, hash)
  return hash
}
