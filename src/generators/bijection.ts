import type { Draws } from './draws.ts'

/** Maximum number of values that a bijection covers: every integer below it is exact in a double. */
export const MAX_RANKS = 2 ** 53

/** Fewer than four pairs of rounds leave neighbours of small domains close to each other. */
const ROUND_PAIRS = 4

/**
 * Returns a random bijection of the integers from 0 to below `size` (at most 2^53): an alternating Feistel network over the
 * smallest rectangle that contains them, with cycle walking (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002). The
 * rectangle exceeds `size` by less than one of its sides, so a second step is rare.
 */
export function bijection(size: number, draws: Draws): (index: number) => number {
  const right = Math.ceil(Math.sqrt(size))
  const left = Math.floor((size - 1) / right) + 1
  const permute = (index: number): number => {
    let b = index % right
    let a = (index - b) / right // exact, unlike the floor of index / right
    for (let round = 0; round < 2 * ROUND_PAIRS; round += 2) {
      a = (a + draws.word(b, 0, round)) % left
      b = (b + draws.word(a, 0, round + 1)) % right
    }
    return a * right + b
  }
  return (index) => {
    let permuted = permute(index)
    while (permuted >= size) permuted = permute(permuted)
    return permuted
  }
}
