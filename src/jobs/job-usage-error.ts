/** Thrown where a job is called in a wrong way. The message says what there is. */
export class JobUsageError extends Error {
  override name = 'JobUsageError'
}
