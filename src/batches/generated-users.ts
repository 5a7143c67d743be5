import type { FieldError } from '../errors.ts'
import { compilePopulation, type Population } from '../generators/compile-population.ts'
import type { BatchConfig } from './batch-config.ts'
import { fillPattern } from './naming.ts'

/** Maximum size of one user's attributes, as PostgreSQL stores and exports them. */
const MAX_ATTRIBUTES_BYTES = 65_536

/** Length of the text that one INSERT sends. Bounds the memory of a worker thread, whatever the size of a chunk. */
const MAX_STATEMENT_CHARACTERS = 524_288

/** Number of compiled populations that a thread keeps. Compiling takes up to 10 ms: it reads word lists. */
const MAX_KEPT = 8

/** The settings that decide how users look. `seed` may be missing before the batch is created. */
export type PopulationConfig = Pick<BatchConfig, 'role' | 'custom_attributes' | 'username_pattern' | 'locale' | 'seed'>

/** Compiles the generators of a batch of `count` users, or returns their faults. */
export function compileUsers(config: PopulationConfig, count: number): Population | { faults: FieldError[] } {
  const { role, custom_attributes, username_pattern, locale = 'en', seed = '' } = config
  const settings = { role, custom_attributes, username_pattern, locale, seed, count }
  return compilePopulation({ ...settings, maxAttributesBytes: MAX_ATTRIBUTES_BYTES })
}

const kept = new Map<string, Population>()

/** Returns the population of a stored batch, whose settings have been checked. Keeps the last ones. */
export function populationOfBatch(batchId: string, config: PopulationConfig, count: number): Population {
  const known = kept.get(batchId)
  if (known) return known
  const compiled = compileUsers(config, count)
  if ('faults' in compiled) throw new Error(`the stored settings of batch ${batchId} are invalid`)
  if (kept.size >= MAX_KEPT) kept.clear()
  kept.set(batchId, compiled)
  return compiled
}

/** Consecutive users as text, a line for each: the JSON array of username, role and attributes. */
export interface UserLines {
  first_n: number
  size: number
  text: string
}

/**
 * Generates the users `first` to `last`, in pieces that one INSERT can send. `{id}` of user n is `firstNumber + n - 1`.
 * One text costs less than arrays of texts: the driver escapes each element of an array, and 10,000 strings that live
 * until then made the heap of each thread grow by 150 MiB.
 */
export function* generateUsers(
  population: Population,
  { first, last, firstNumber }: { first: number; last: number; firstNumber: number },
): Generator<UserLines, void, void> {
  let piece: UserLines = { first_n: first, size: 0, text: '' }
  for (let n = first; n <= last; n++) {
    const username = fillPattern(population.usernamePattern(n), firstNumber + n - 1, n)
    const role = JSON.stringify(population.role(n))
    piece.text += `${piece.size === 0 ? '' : '\n'}[${JSON.stringify(username)},${role},${population.attributesJson(n)}]`
    piece.size++
    if (piece.text.length < MAX_STATEMENT_CHARACTERS) continue
    yield piece
    piece = { first_n: n + 1, size: 0, text: '' }
  }
  if (piece.size > 0) yield piece
}
