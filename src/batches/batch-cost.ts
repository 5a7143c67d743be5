import { hashCostMs, withCosts } from '../passwords/hash-password.ts'
import type { BatchConfig } from './batch-config.ts'

/** Milliseconds of one worker thread for one user. Measured: 25,000 to 28,000 users per second with two workers on two cores. */
const USER_MS = 0.075

/** Estimated work of a batch, in milliseconds of one worker thread. */
export interface BatchCost {
  hashing: number
  creating: number
}

/** Estimates the work for `hashes` password hashes and `users` users with these settings. */
export const batchCost = ({ password_hash }: BatchConfig, hashes: number, users: number): BatchCost => ({
  hashing: hashes * hashCostMs(withCosts(password_hash)),
  creating: users * USER_MS,
})

/**
 * Returns the completed part of a batch's work, from 0 to 1, by its estimated cost. 3,000 expensive hashes are minutes of
 * work before the first user exists, so a count of users alone would stay at 0.
 */
export function completedPart(
  settings: BatchConfig,
  done: { hashes: number; users: number },
  requested: number,
): number {
  const total = batchCost(settings, settings.password_hash.distinct, requested)
  const completed = batchCost(settings, done.hashes, done.users)
  return (completed.hashing + completed.creating) / (total.hashing + total.creating)
}
