import { createHash } from 'node:crypto'

/**
 * Version of all that decides a value: keys, the mixing below, and what each generator does with a draw. A change of any of these
 * is a new version. test/generators/golden has users of each version.
 */
export const GENERATOR_VERSION = 1

/** The random numbers of one path. All functions are pure: the same arguments return the same number, in any order of calls. */
export interface Draws {
  /** 32 random bits for user `n`. `lane` is the place in a list, see `laneOf`; `index` counts the draws of one value. */
  word: (n: number, lane: number, index: number) => number
  /** A number from 0 to below 1, with 53 random bits. */
  fraction: (n: number, lane: number, index: number) => number
  /** An integer from 0 to below `size`, which is at most 2^53. */
  below: (size: number, n: number, lane: number, index: number) => number
}

/** Up to this size, one word is enough: the least likely number is less than 0.002 % rarer than the others. */
const SMALL = 65_536

/**
 * Returns the draws of a path. The generator is counter-based (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011):
 * it has no state, so the order of users and attributes does not matter.
 *
 * A SHA-256 of version, seed and path is the key. `word` XORs its four words with n, lane and index between four
 * multiply-and-shift rounds: first two of triple32 (Chris Wellons, hash-prospector), then MurmurHash3's finalizer (Austin Appleby).
 * 10 ns a draw. It is not meant for cryptography. test/generators/draws.test.ts checks it: chi-square of bytes and pairs,
 * independence of neighbouring users, indexes, lanes and paths, avalanche.
 */
export function drawsOf(seed: string, path: readonly string[]): Draws {
  const digest = createHash('sha256')
    .update(JSON.stringify([GENERATOR_VERSION, seed, path]))
    .digest()
  const [k0, k1, k2, k3] = [digest.readInt32BE(0), digest.readInt32BE(4), digest.readInt32BE(8), digest.readInt32BE(12)]
  const word = (n: number, lane: number, index: number): number => {
    let x = n ^ k0
    x = Math.imul(x ^ (x >>> 17), 0xed5ad4bb) ^ k1 ^ lane
    x = Math.imul(x ^ (x >>> 11), 0xac4c1b51) ^ k2 ^ Math.imul(index + 1, 0x9e3779b1)
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b) ^ k3
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35)
    return (x ^ (x >>> 16)) >>> 0
  }
  const fraction = (n: number, lane: number, index: number): number =>
    ((word(n, lane, 2 * index) >>> 5) * 2 ** 26 + (word(n, lane, 2 * index + 1) >>> 6)) / 2 ** 53
  const below = (size: number, n: number, lane: number, index: number): number =>
    size <= SMALL
      ? Math.floor((word(n, lane, 2 * index) * size) / 2 ** 32)
      : Math.floor(fraction(n, lane, index) * size)
  return { word, fraction, below }
}

/** The lane of element `index` of a list that is itself in `lane`. 0 is outside of lists. */
export const laneOf = (lane: number, index: number): number => Math.imul((lane ^ (lane >>> 15)) + index + 1, 0x85ebca6b)
