/** Thrown where the call itself is wrong. The message says what to do. */
export class UsageError extends Error {
  override name = 'UsageError'
}
