/** Pearson's chi-square statistic of counted against expected numbers. */
export const chiSquareOf = (counted: readonly number[], expected: readonly number[]): number =>
  counted.reduce((sum, count, index) => sum + (count - (expected[index] ?? 0)) ** 2 / (expected[index] ?? 0), 0)

/**
 * The statistic that a fair source exceeds once in 10,000 times (Wilson and Hilferty, 1931). Seeds in tests are fixed, so a
 * test passes always or never.
 */
export function chiSquareLimit(degreesOfFreedom: number): number {
  const quantile = 3.719 // of the normal distribution, 1 in 10,000
  const part = 2 / (9 * degreesOfFreedom)
  return degreesOfFreedom * (1 - part + quantile * Math.sqrt(part)) ** 3
}
