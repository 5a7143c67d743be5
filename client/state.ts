import { sha256 } from './sha256.ts'

/** The four 64-bit words of a user line's SHA-256, or of a sum of several. */
export type Words = BigUint64Array

const encoder = new TextEncoder()

/** Returns the digest of a user line, without its line end. */
export function digestOf(line: string): Words {
  const hash = sha256(encoder.encode(line))
  const word = (i: number) => (BigInt(hash[i] ?? 0) << 32n) | BigInt(hash[i + 1] ?? 0)
  return BigUint64Array.of(word(0), word(2), word(4), word(6))
}

/** The sum of the digests of a set of users, which names its state (docs/states-and-deltas.md). */
export class StateSum {
  readonly #words: Words

  constructor(from?: StateSum) {
    this.#words = from ? from.#words.slice() : new BigUint64Array(4)
  }

  add(digest: Words): void {
    for (let i = 0; i < 4; i++) this.#words[i] = (this.#words[i] ?? 0n) + (digest[i] ?? 0n) // wraps modulo 2^64
  }

  remove(digest: Words): void {
    for (let i = 0; i < 4; i++) this.#words[i] = (this.#words[i] ?? 0n) - (digest[i] ?? 0n)
  }

  /** Returns the name of the state. */
  name(): string {
    return `u1-${[...this.#words].map((word) => word.toString(16).padStart(16, '0')).join('')}`
  }
}

export const isEqual = (one: Words | undefined, other: Words) => one?.every((word, i) => word === other[i]) ?? false
