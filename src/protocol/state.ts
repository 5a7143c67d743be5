import { hash } from 'node:crypto'
import { memoize } from '../process/memoize.ts'

/**
 * Computes the state of a set of users (docs/states-and-deltas.md): the SHA-256 of each user line as four big-endian words, summed
 * word by word modulo 2^64 (AdHash, Bellare and Micciancio 1997). The service maintains it in SQL; clients use this to check it.
 */
export class StateDigest {
  readonly #words = new BigUint64Array(4)

  /** Adds a user line, without its line end. */
  add(line: string): void {
    const digest = hash('sha256', line, 'buffer')
    for (let i = 0; i < 4; i++) this.#words[i] = (this.#words[i] ?? 0n) + digest.readBigUInt64BE(i * 8) // wraps modulo 2^64
  }

  /** Returns the name of the state. */
  name(): string {
    return `u1-${[...this.#words].map((word) => word.toString(16).padStart(16, '0')).join('')}`
  }
}

/** Returns the state of these user lines. */
export function stateOf(lines: Iterable<string>): string {
  const digest = new StateDigest()
  for (const line of lines) digest.add(line)
  return digest.name()
}

/** Names the exact content that a filter selects (docs/states-and-deltas.md). */
export type State = string

/** The form of a state. */
export const STATE_FORM = /^u1-[0-9a-f]{64}$/

/** The state of an empty set of users. */
export const EMPTY_STATE: State = `u1-${'0'.repeat(64)}`

export const isState = (text: string): text is State => STATE_FORM.test(text)

/**
 * Returns the states in an `If-None-Match` (RFC 9110 section 13.1.2), by weak comparison; `any` for `*`. Accepts a state without
 * quotes, as people type it, and with the coding that a proxy appended (`"u1-…-gzip"`). Ignores other tags.
 */
export const statesIn = (ifNoneMatch: string | undefined): readonly State[] | 'any' =>
  ifNoneMatch === undefined ? [] : listedStates(ifNoneMatch)

/** A quoted tag, in which a comma is text, or the text between two commas. */
const TAG = /(?:W\/)?(?:"([^"]*)"|([^\s",]+))/g
const CODING_SUFFIX = /-(gzip|br|zstd|deflate)$/

const listedStates = memoize((ifNoneMatch): readonly State[] | 'any' => {
  if (ifNoneMatch.trim() === '*') return 'any'
  const tags = [...ifNoneMatch.matchAll(TAG)].map(([, quoted, bare = '']) => quoted ?? bare)
  return tags.map((tag) => tag.replace(CODING_SUFFIX, '')).filter(isState)
})
