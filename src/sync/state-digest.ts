import { hash } from 'node:crypto'

/**
 * The state of a set of users by its definition (api.md): the SHA-256 of each user line as four big-endian words, summed
 * word by word modulo 2^64 (AdHash, Bellare and Micciancio 1997). The service keeps it in SQL; clients check it with this.
 */
export class StateDigest {
  readonly #words = new BigUint64Array(4)

  /** Adds a user line, given without its line end. */
  add(line: string): void {
    const digest = hash('sha256', line, 'buffer')
    for (let i = 0; i < 4; i++) this.#words[i] = (this.#words[i] ?? 0n) + digest.readBigUInt64BE(i * 8) // wraps by itself
  }

  /** The state's name. */
  name(): string {
    return `u1-${[...this.#words].map((word) => word.toString(16).padStart(16, '0')).join('')}`
  }
}

/** The state of these user lines. */
export function stateOf(lines: Iterable<string>): string {
  const digest = new StateDigest()
  for (const line of lines) digest.add(line)
  return digest.name()
}
