/** For a test that has a smaller sister, which runs in both sizes: `if (isFull) t.test(...)`. */
export const isFull = process.env['SIZE'] === 'full'

/**
 * Selects a value by the size of this run. `npm test` runs the volume, fault and crash tests small; `SIZE=full npm
 * test` runs them with many users, kills and connection cuts, as `.ci/run` does.
 */
export const sized = <Value>(small: Value, full: Value): Value => (isFull ? full : small)
