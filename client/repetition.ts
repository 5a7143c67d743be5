import type { UsersyncError } from './errors.ts'
import { OPERATIONS } from './operations.ts'

/* Which requests may be repeated after an error, and what the answer to the repetition says of the first one. */

interface Sent {
  headers?: Record<string, unknown> | undefined
  body?: unknown
}

/** Requests that use another method than GET, PUT, PATCH and DELETE, and still have the same effect twice as once. */
const REPEATABLE = new Set([
  'cancelBatch',
  'previewBatch',
  'renewLease',
  'returnLease',
  'resetUsers',
  'validateTemplate',
])

/** 503 with these codes, and 429, mean that the service has done nothing. */
const NOT_DONE = ['overloaded', 'rate_limited', 'shutting_down']

/** What a repeated deletion finds if the first one was carried out and its response was lost. */
const DELETED: Record<string, string> = {
  deletePool: 'pool_not_found',
  deleteTarget: 'target_not_found',
  deleteTemplate: 'template_not_found',
  deleteUser: 'user_not_found',
}

/** Whether an error says that the service has not carried out the request. */
export const isNotDone = ({ status, code }: UsersyncError): boolean => status === 429 || NOT_DONE.includes(code)

/** Whether an error says that what a request deletes is not there. */
export const isDeleted = (id: string, { code }: UsersyncError): boolean => code === DELETED[id]

/** Whether the request may be sent again after this error: it was not carried out, or has the same effect twice as once. */
export function mayRepeat(id: string, { headers, body }: Sent, error: UsersyncError): boolean {
  if (!error.isRetryable || body instanceof ReadableStream) return false
  if (isNotDone(error)) return true
  if (id.startsWith('sts')) return false // its GET requests take users
  const { method } = OPERATIONS[id as keyof typeof OPERATIONS]
  return method !== 'POST' || REPEATABLE.has(id) || headers?.['idempotency-key'] !== undefined
}
