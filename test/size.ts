/**
 * The value for this run's size. `npm test` runs the proofs of volume, faults and crashes small; `SIZE=full npm test` runs
 * them with many users, kills and cuts, as `.ci/run` does.
 */
export const sized = <Value>(small: Value, full: Value): Value => (process.env['SIZE'] === 'full' ? full : small)
