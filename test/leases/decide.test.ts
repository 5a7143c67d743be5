import fc from 'fast-check'
import { type Decision, decide } from '../../src/leases/decide.ts'
import type { GrantedLease, GrantRequest, Grants } from '../../src/leases/grant.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()

/* What becomes of requests for which a statement found too few users. */

const NOW = 1_000

type Request = GrantRequest & { deadline: number }

const request = (count: number, partial: boolean, waits: boolean): Request => ({
  ...{ count, partial, ttlSeconds: 1, owner: '', apiKey: null, idempotency: undefined },
  deadline: waits ? NOW + 1 : NOW,
})

const lease = (user_count: number): GrantedLease => ({ id: '', fence: 1, expires_at: '', user_count, users: '' })

/** What the statement grants if it finds this many users: in order, all or, if partial, what is left. */
function grant(requests: Request[], found: number): Grants {
  let before = 0
  const leases = requests.map(({ count, partial }) => {
    const got = Math.max(0, Math.min(count, found - before))
    before += count
    return got === count || (partial && got > 0) ? lease(got) : undefined
  })
  return { leases, poolExists: true, found: Math.min(found, before), isCut: false, isInStep: true, hand: undefined }
}

const requests = fc.array(
  fc.tuple(fc.integer({ min: 1, max: 5 }), fc.boolean(), fc.boolean()).map((each) => request(...each)),
  { minLength: 1, maxLength: 12 },
)

t.test(
  'repeated until nothing changes: nobody overtakes a request that waits, and no user is left for one that could have it',
  (t) => {
    fc.assert(
      fc.property(requests, fc.nat(20), (all, free) => {
        const outcomes = new Map<Request, Decision | 'granted'>()
        let left = free
        for (let open = all, isChanged = true; isChanged && open.length > 0; ) {
          const grants = grant(open, left)
          const decisions = decide(open, grants, NOW)
          left -= grants.leases.reduce((sum, each) => sum + (each?.user_count ?? 0), 0)
          for (const [n, each] of open.entries())
            outcomes.set(each, grants.leases[n] ? 'granted' : (decisions.get(each) as Decision))
          const next = open.filter((each) => ['wait', 'retry'].includes(outcomes.get(each) ?? ''))
          isChanged = next.length < open.length && [...decisions.values()].includes('retry')
          open = next
        }
        const firstWaiting = all.findIndex((each) => outcomes.get(each) === 'wait')
        const ends = [...outcomes.values()]
        if (ends.includes('retry')) throw new Error('a request is tried for ever')
        for (const [n, each] of all.entries()) {
          const outcome = outcomes.get(each)
          const isBehind = firstWaiting >= 0 && n > firstWaiting
          if (outcome === 'exhausted' && !isBehind && left > 0 && (each.count <= left || each.partial)) return false
          if (outcome === 'exhausted' && each.deadline > NOW) return false
          if (outcome === 'wait' && each.deadline <= NOW) return false
        }
        return true
      }),
      { numRuns: sized(500, 2_000) },
    )
    t.pass()
    t.end()
  },
)

t.test('no pool, a key that has a lease, and lines that are too long', (t) => {
  const keyed = { ...request(1, false, false), idempotency: { owner: '', key: 'k', digest: Buffer.alloc(1) } }
  const none: Grants = {
    leases: [undefined],
    poolExists: false,
    found: 0,
    isCut: false,
    isInStep: true,
    hand: undefined,
  }
  t.equal(decide([keyed], none, NOW).get(keyed), 'no_pool')
  t.equal(decide([keyed], { ...none, poolExists: true, found: 1 }, NOW).get(keyed), 'key_used')
  const partly = { ...keyed, count: 5, partial: true }
  t.equal(decide([partly], { ...none, poolExists: true, found: 3 }, NOW).get(partly), 'key_used', 'not tried for ever')
  const large = request(3, false, true)
  const cut = { ...none, poolExists: true, found: 2, isCut: true }
  t.equal(decide([large], cut, NOW).get(large), 'too_large', 'alone it is no shorter')
  const first = request(1, false, true)
  const served = { ...cut, leases: [lease(1), undefined] }
  t.equal(decide([first, large], served, NOW).get(large), 'retry', 'alone it may fit')
  t.end()
})
