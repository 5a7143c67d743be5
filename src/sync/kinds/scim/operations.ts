import { PeerError } from '../../../client/peer.ts'
import { isAbsent } from '../api-requests.ts'
import type { CallApi } from '../json-api.ts'
import type { ScimUser } from './mapping.ts'

/** What is to be done with a user at the server. */
export interface Operation {
  userId: string
  method: 'POST' | 'PUT' | 'DELETE'
  path: string
  data?: ScimUser
}

/** What the server did: its answer, or a fault. Then it may have done it, if it was sent. */
export type Result = { status: number; json: unknown } | { fault: PeerError; isSent: boolean }

/**
 * Does operations, and returns one result for each, in their order. May throw PeerError for faults that do not pass, which are no result
 * of a single operation.
 */
export type Operate = (operations: Operation[]) => Promise<Result[]>

/**
 * Sends one request for each operation, one after the other. Goes on after a 5xx and a 403, which one user may cause; ends after other
 * faults, such as 401 and 429, which all further requests would meet, too.
 */
export const operateSingly = (call: CallApi): Operate =>
  async function operate(operations) {
    const results: Result[] = []
    let end: PeerError | undefined
    for (const { method, path, data } of operations) {
      if (end) results.push({ fault: end, isSent: false })
      else {
        const result = await resultOf(async () => {
          const answer = await call({ method, path, body: data })
          isAbsent(answer) // throws for a 404 that is not the server's
          return answer
        })
        if ('fault' in result && !result.fault.mayConcernOne) end = result.fault
        results.push(result)
      }
    }
    return results
  }

/** Runs a request for one operation. Returns its fault. One that does not pass, such as 403, says that nothing was done. */
async function resultOf(request: () => Promise<Result>): Promise<Result> {
  try {
    return await request()
  } catch (error) {
    if (!(error instanceof PeerError)) throw error
    return { fault: error, isSent: error.isRetryable }
  }
}

/** Runs a request. Returns its fault if a retry may help, and throws it otherwise. */
export async function catchRetryable<Answer>(
  request: () => Promise<Answer>,
): Promise<Answer | { fault: PeerError; isSent: true }> {
  try {
    return await request()
  } catch (error) {
    if (error instanceof PeerError && error.isRetryable) return { fault: error, isSent: true }
    throw error
  }
}
