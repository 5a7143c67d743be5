import { createClient, type Lease } from '../../client/index.ts'
import { startProxy } from '../database-proxy.ts'
import { sharedService } from '../http/shared-service.ts'
import { makePool } from '../leases/pool.ts'
import { suite } from '../suite.ts'

const t = suite()

/* Leases of the client against the service. */

const service = await sharedService(t)
const { url, sql } = service

const pool = await makePool(service, 4)
const client = createClient({ url, pool })
const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error) => error,
  )
const aborted = ({ lost }: Lease) =>
  new Promise((resolve) => {
    if (lost.aborted) resolve(lost.reason)
    else lost.addEventListener('abort', () => resolve(lost.reason))
  })

t.test('users are leased until the end of the block', async (t) => {
  {
    await using lease = await client.leases.take({ count: 2, owner: 'block', include: ['password'] })
    t.match([lease.users.length, lease.user, lease.fence], [2, { username: /^u\d$/, password: null }, Number])
    t.match(await client.leases.stats(), { free: 2, leased: 2 })
    t.match(await Array.fromAsync(client.leases.list()), [{ id: lease.id, owner: 'block', status: 'active' }])
  }
  t.match(await client.leases.stats(), { free: 4, leased: 0 })
})

t.test(
  'a call that repeats an earlier one by its key renews the lease, which began with the earlier one',
  async (t) => {
    const take = () => client.leases.take({ ttl_seconds: 3600 }, { idempotencyKey: 'again' })
    const expiry = async ({ id }: Lease) => Date.parse((await client.request('getLease', { path: { id } })).expires_at)
    const first = await take()
    await sql`update leases set expires_at = now() + interval '1 minute' where id = ${first.id}`
    const again = await take()
    t.equal(again.id, first.id)
    t.ok((await expiry(again)) > Date.now() + 3_000_000)
    await first.return()
    t.match(await failure(take()), { code: 'lease_lost' })
  },
)

t.test('users come back one by one, or dirty, and are free after a reset', async (t) => {
  const lease = await client.leases.take({ count: 3 })
  await lease.returnUsers([{ id: lease.user.id, outcome: 'consumed' }])
  await lease.return('dirty')
  await lease.return('dirty')
  t.match(await client.leases.stats(), { free: 1, dirty: 2, consumed: 1 })
  t.match(await client.leases.reset(), { freed_count: 3 })
  t.match(await failure(client.leases.take({ count: 5 })), { code: 'users_exhausted', problem: { free: 4 } })
})

t.test('a lease renews itself, also after the service was away', async (t) => {
  const proxy = await startProxy(t, Number(new URL(url).port))
  const through = createClient({ url: `http://127.0.0.1:${proxy.port}`, pool, attempts: 1 })
  const lease = await through.leases.take({ ttl_seconds: 3600 })
  const expiry = async () => (await client.request('getLease', { path: { id: lease.id } })).expires_at
  const first = await expiry()
  await proxy.cut()
  t.match(await failure(lease.renew()), { code: 'unreachable' })
  t.notOk(lease.lost.aborted)
  await proxy.restore()
  t.match(await lease.renew(), { gone: [], changed: [] })
  t.ok((await expiry()) > first)
  await lease.return()
})

t.test('the holder learns of a lease that was ended by force, at the next renewal', async (t) => {
  const lease = await client.leases.take({ ttl_seconds: 1 }) // renewed after a third of a second
  await client.request('deleteLease', { path: { id: lease.id } })
  t.match(await aborted(lease), { code: 'lease_lost' })
  t.match(await failure(lease.renew()), { code: 'lease_lost' })
  t.match(await failure(lease.return()), { code: 'lease_lost' })
})

t.test('the holder learns of the end of a lease while the service is away', async (t) => {
  const proxy = await startProxy(t, Number(new URL(url).port))
  const through = createClient({ url: `http://127.0.0.1:${proxy.port}`, pool })
  const lease = await through.leases.take({ ttl_seconds: 1 })
  await proxy.cut()
  const before = performance.now()
  t.match(await aborted(lease), { code: 'lease_lost' })
  t.ok(performance.now() - before < 60_000)
  await sql`select 1`
})
