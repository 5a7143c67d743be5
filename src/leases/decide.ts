import type { GrantRequest, Grants } from './grant.ts'

/**
 * What becomes of a request without a lease. `exhausted`: there are too few users. `key_used`: its idempotency key has a lease.
 * `too_large`: the lines of its users are too long for one response. `retry`: the next statement may serve it. `wait`: it stays.
 */
export type Decision = 'exhausted' | 'no_pool' | 'key_used' | 'too_large' | 'retry' | 'wait'

/** Decides on the requests of a statement that got no lease, in their order. `now` and deadlines are by `performance.now()`. */
export function decide<Request extends GrantRequest & { deadline: number }>(
  requests: Request[],
  grants: Grants,
  now: number,
): Map<Request, Decision> {
  const decisions = new Map<Request, Decision>()
  const hasLease = grants.leases.some((lease) => lease !== undefined)
  let before = 0
  let left = grants.found - grants.leases.reduce((sum, lease) => sum + (lease?.user_count ?? 0), 0)
  let isBlocked = false
  for (const [n, request] of requests.entries()) {
    const isCovered = before + (request.partial ? 1 : request.count) <= grants.found
    before += request.count
    if (grants.leases[n]) continue
    decisions.set(request, decision(request, isCovered))
  }
  return decisions

  function decision(request: Request, isCovered: boolean): Decision {
    if (!grants.poolExists) return 'no_pool'
    if (isCovered) {
      left -= Math.min(request.count, left)
      return request.idempotency ? 'key_used' : 'retry'
    }
    if (grants.isCut) return hasLease || request !== requests[0] ? 'retry' : 'too_large'
    if (!isBlocked && left > 0 && (request.count <= left || request.partial)) {
      left -= Math.min(request.count, left)
      return 'retry'
    }
    if (now >= request.deadline) return 'exhausted'
    isBlocked = true
    return 'wait'
  }
}
