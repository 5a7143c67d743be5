import type { Answer } from '../http/service.ts'
import { suite } from '../suite.ts'
import { type Lease, leaseService, makePool, problem } from './pool.ts'

const t = suite()

/* What holders of leases can rely on, one after the other. */

const service = await leaseService(t)
const { call } = service
const post = <Json = Lease>(path: string, body: object, headers = {}) => call<Json>('POST', path, { body, headers })
const stats = async (pool: string) => (await call<Record<string, number>>('GET', `/v1/leases/stats?pool=${pool}`)).json
const idsOf = ({ json }: Answer<Lease>) => json.users.map(({ id }) => id)

t.test('a lease gives users to one holder, who renews and returns them', async (t) => {
  const pool = await makePool(service, 5)
  t.match(await stats(pool), { free: 5, leased: 0, dirty: 0, consumed: 0, waiting: 0, next_expiry: null })
  const before = Date.now()
  const first = await post(`/v1/leases?pool=${pool}`, { count: 3, owner: 'vu1', ttl_seconds: 60 })
  t.match(first, {
    status: 201,
    headers: { 'cache-control': 'no-store', location: `/v1/leases/${first.json.id}?pool=${pool}` },
  })
  t.ok(Math.abs(Date.parse(first.json.expires_at) - before - 60_000) < 20_000)
  t.equal(new Set(idsOf(first)).size, 3)
  const [user] = first.json.users
  t.strictSame(user, (await call('GET', `/v1/users/${user?.id}?pool=${pool}`)).json, 'users are user lines')
  const second = await post(`/v1/leases`, { pool, count: 2 })
  t.equal(new Set([...idsOf(first), ...idsOf(second)]).size, 5)
  t.ok(second.json.fence > first.json.fence)
  t.match(await stats(pool), { free: 0, leased: 5 })

  const { id, fence } = first.json
  const renewed = await post(`/v1/leases/${id}/renew?pool=${pool}`, { fence, ttl_seconds: 600 })
  t.match(renewed, { status: 200, json: { id, fence, gone: [], changed: [] } })
  t.ok(renewed.json.expires_at > first.json.expires_at)
  for (const returned of [3, 0]) {
    const answer = await post(`/v1/leases/${id}/return?pool=${pool}`, { fence, outcome: 'clean' })
    t.match(answer, { status: 200, json: { id, returned_count: returned, held_count: 0 } })
  }
  t.match(await stats(pool), { free: 3, leased: 2 })
  t.match(await post(`/v1/leases/${id}/renew?pool=${pool}`, { fence }), problem(409, 'lease_lost'))
})

t.test('too few users: 409 with counts, or what is left', async (t) => {
  const pool = await makePool(service, 4)
  const taken = await post('/v1/leases', { pool, count: 3 })
  const refused = await post('/v1/leases', { pool, count: 2 })
  t.match(refused, problem(409, 'users_exhausted'))
  t.match(refused.json, { free: 1, leased: 3, dirty: 0, consumed: 0, next_expiry: taken.json.expires_at })
  const nobody = await post('/v1/leases', { pool, filter: { role: 'nobody' } })
  t.match(nobody.json, { free: 0, leased: 0, next_expiry: null, detail: /No user of the pool is selected/ })
  t.match(refused.headers['retry-after'], /^\d+$/)
  t.equal((await post('/v1/leases', { pool, count: 2, partial: true })).json.users.length, 1)
  t.match(await post('/v1/leases', { pool, partial: true }), problem(409, 'users_exhausted'))
  t.match((await post('/v1/leases', { pool: await makePool(service, 0) })).json, { code: 'users_exhausted', free: 0 })
})

t.test('some users come back early; dirty and consumed ones only after a reset', async (t) => {
  const pool = await makePool(service, 4)
  const lease = await post('/v1/leases', { pool, count: 4 })
  const { id, fence } = lease.json
  const [a, b, c, d] = idsOf(lease)
  const give = (users: object[]) => post(`/v1/leases/${id}/return`, { pool, fence, users })
  const both = [
    { id: a, outcome: 'clean' },
    { id: b, outcome: 'dirty', note: 'cart not empty' },
  ]
  t.match(await give(both), { json: { returned_count: 2, held_count: 2 } })
  t.match(await give(both.map((each) => ({ ...each, outcome: 'consumed' }))), {
    json: { returned_count: 0, held_count: 2 },
  })
  t.match(await give([{ id: c, outcome: 'consumed' }]), { json: { returned_count: 1, held_count: 1 } })
  t.match(await stats(pool), { free: 1, leased: 1, dirty: 1, consumed: 1 })
  t.match(await call('GET', `/v1/leases/${id}?pool=${pool}`), {
    json: {
      status: 'active',
      users: [a, b, c, d].map((id, n) => ({ id, status: ['clean', 'dirty', 'consumed', 'leased'][n] })),
    },
  })
  t.match(await give([{ id: d, outcome: 'clean' }]), { json: { returned_count: 1, held_count: 0 } })
  t.match(
    await give([{ id: d, outcome: 'clean' }]),
    { json: { returned_count: 0, held_count: 0 } },
    'also when it is over',
  )
  t.match(await call('GET', `/v1/leases/${id}?pool=${pool}`), { json: { status: 'returned' } })
  t.equal((await post('/v1/leases', { pool, count: 4, partial: true })).json.users.length, 2)
  for (const freed_count of [2, 0])
    t.match(await post('/v1/leases/reset', { pool }), { status: 200, json: { freed_count } })
  t.match(await stats(pool), { free: 2, leased: 2, dirty: 0, consumed: 0 })
})

t.test('a user that came back early and is with another holder stays there when the first lease ends', async (t) => {
  for (const end of ['return', 'force']) {
    const pool = await makePool(service, 2)
    const first = await post('/v1/leases', { pool, count: 2 })
    const { id, fence } = first.json
    await post(`/v1/leases/${id}/return`, { pool, fence, users: [{ id: idsOf(first)[0], outcome: 'clean' }] })
    const second = await post('/v1/leases', { pool })
    t.strictSame(idsOf(second), idsOf(first).slice(0, 1))
    if (end === 'return') await post(`/v1/leases/${id}/return`, { pool, fence, outcome: 'clean' })
    else await call('DELETE', `/v1/leases/${id}?pool=${pool}`)
    t.match(await stats(pool), { free: 1, leased: 1 }, end)
  }
})

t.test('a request that is not right changes nothing', async (t) => {
  const pool = await makePool(service, 3)
  const lease = await post('/v1/leases', { pool, count: 2 })
  const other = await post('/v1/leases', { pool, count: 1 })
  const { id, fence } = lease.json
  const [mine = ''] = idsOf(lease)
  const [theirs = ''] = idsOf(other)
  const bodies: [string, object][] = [
    ['', { count: 0 }],
    ['', { count: 10_001 }],
    ['', { count: 1.5 }],
    ['', { ttl_seconds: 0 }],
    ['', { ttl_seconds: 86_401 }],
    ['', { order: 'fastest' }],
    ['', { wait_seconds: 31 }],
    ['', { include: ['secret'] }],
    ['', { filter: { plan: 'gold' } }],
    ['', { filter: { attributes: { plan: { nested: 1 } } } }],
    ['', { filter: { batch_id: '00000000-0000-0000-0000-000000000000' } }],
    ['', { owner: 'x'.repeat(201) }],
    [`/${id}/renew`, { fence, ttl_seconds: 0 }],
    [`/${id}/renew`, {}],
    [`/${id}/return`, { fence }],
    [`/${id}/return`, { fence, outcome: 'broken' }],
    [`/${id}/return`, { fence, outcome: 'clean', users: [{ id: mine, outcome: 'clean' }] }],
    [`/${id}/return`, { fence, users: [] }],
    [
      `/${id}/return`,
      {
        fence,
        users: [
          { id: mine, outcome: 'clean' },
          { id: theirs, outcome: 'clean' },
        ],
      },
    ],
    ['/reset', { filter: { nobody: 1 } }],
  ]
  for (const [path, body] of bodies) {
    t.match(await post(`/v1/leases${path}`, { pool, ...body }), problem(400, 'invalid_request'), JSON.stringify(body))
  }
  const foreign = await post(`/v1/leases/${id}/return`, { pool, fence, users: [{ id: theirs, outcome: 'clean' }] })
  t.match(foreign, { json: { errors: [{ path: 'body.users[0].id', code: 'not_of_lease' }] } })
  for (const wrong of [other.json.fence, fence + 1]) {
    t.match(await post(`/v1/leases/${id}/renew`, { pool, fence: wrong }), problem(409, 'lease_lost'))
    t.match(await post(`/v1/leases/${id}/return`, { pool, fence: wrong, outcome: 'clean' }), problem(409, 'lease_lost'))
  }
  t.match(await post(`/v1/leases/${theirs}/renew`, { pool, fence }), problem(409, 'lease_lost'))
  t.match(
    await post(`/v1/leases/${id}/renew`, { pool: 'default', fence }),
    problem(409, 'lease_lost'),
    'in another pool',
  )
  t.match(await post('/v1/leases?pool=nowhere', {}), problem(404, 'pool_not_found'))
  t.match(await call('GET', `/v1/leases/${theirs}?pool=${pool}`), problem(404, 'lease_not_found'))
  t.match(await stats(pool), { free: 0, leased: 3, dirty: 0, consumed: 0 })
  t.match(await post(`/v1/leases/${id}/renew`, { pool, fence }), { status: 200 })
})

t.test('an administrator ends a lease by force', async (t) => {
  const pool = await makePool(service, 1)
  const { id, fence } = (await post('/v1/leases', { pool })).json
  for (let times = 0; times < 2; times++) t.equal((await call('DELETE', `/v1/leases/${id}?pool=${pool}`)).status, 204)
  t.match(await call('DELETE', `/v1/leases/${pool}?pool=${pool}`), { status: 400 })
  t.match(await post(`/v1/leases/${id}/return`, { pool, fence, outcome: 'clean' }), problem(409, 'lease_lost'))
  t.match(await call('GET', `/v1/leases/${id}?pool=${pool}`), { json: { status: 'forced' } })
  t.equal((await post('/v1/leases', { pool })).status, 201)
})

t.test('leases and the leases of a user are listed newest first, page by page', async (t) => {
  const pool = await makePool(service, 1)
  const made: Lease[] = []
  for (let n = 0; n < 5; n++) {
    const { json } = await post('/v1/leases', { pool, owner: `vu${n}` })
    made.unshift(json)
    if (n < 4) await post(`/v1/leases/${json.id}/return`, { pool, fence: json.fence, outcome: 'clean' })
  }
  const [user] = made[0]?.users ?? []
  for (const [path, member] of Object.entries({ '/v1/leases': 'id', [`/v1/users/${user?.id}/leases`]: 'lease_id' })) {
    const found: Record<string, unknown>[] = []
    for (let query = ''; ; ) {
      const { json } = await call<{ items: Record<string, unknown>[]; next_cursor: string | null }>(
        'GET',
        `${path}?pool=${pool}&limit=2${query}`,
      )
      found.push(...json.items)
      if (json.next_cursor === null) break
      query = `&cursor=${json.next_cursor}`
    }
    t.strictSame(
      found.map((each) => each[member]),
      made.map(({ id }) => id),
      path,
    )
    t.match(found[0], { owner: 'vu4', fence: made[0]?.fence, ended_at: null })
    t.match(found[1], { owner: 'vu3', ended_at: /^\d{4}-/ })
    t.ok(String(found[1]?.['ended_at']) <= String(found[0]?.['granted_at']), 'one after the other')
  }
  const active = await call<{ items: unknown[] }>('GET', `/v1/leases?pool=${pool}&active=true`)
  t.match(active.json.items, [{ id: made[0]?.id, status: 'active', user_count: 1 }])
  t.equal(active.json.items.length, 1)
  t.match(await call('GET', `/v1/users/${made[0]?.id}/leases?pool=${pool}`), problem(404, 'user_not_found'))
})

t.test('orders: the least used first; round and round; and at random', async (t) => {
  const pool = await makePool(service, 6)
  const all = (await post('/v1/leases', { pool, count: 6 })).json
  await post(`/v1/leases/${all.id}/return`, { pool, fence: all.fence, outcome: 'clean' })
  const take = async (order: string, count = 1) => {
    const answer = await post('/v1/leases', { pool, order, count })
    const { id, fence } = answer.json
    await post(`/v1/leases/${id}/return`, { pool, fence, outcome: 'clean' })
    return idsOf(answer)
  }
  const ids = idsOf({ json: all } as Answer<Lease>).toSorted()
  const round = async (order: string) => {
    const found: string[] = []
    for (let n = 0; n < 6; n++) found.push(...(await take(order)))
    return found
  }
  t.strictSame((await round('least_used')).toSorted(), ids, 'each once before anybody is used again')
  t.strictSame(await round('sequence'), ids)
  t.strictSame(await take('sequence', 4), ids.slice(0, 4))
  t.strictSame((await take('sequence', 4)).toSorted(), [...ids.slice(4), ...ids.slice(0, 2)].toSorted())
  const seen = new Set<string>()
  for (let n = 0; n < 60; n++) for (const id of await take('random')) seen.add(id)
  t.equal(seen.size, 6, 'somebody was never drawn in 60 times: 1 in 10,000')
})
