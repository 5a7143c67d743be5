import { suite } from '../suite.ts'
import { sharedService } from './shared-service.ts'

const t = suite()

/* Each body in the description works as it is, once what it refers to exists: “Try it out” in /docs starts with it. */

const { call, url, app } = await sharedService(t)

interface Media {
  example?: unknown
  examples?: Record<string, { value: unknown }>
}
interface Operation {
  operationId: string
  requestBody?: { content: Record<string, Media> }
}
const { paths } = app.swagger() as unknown as { paths: Record<string, Record<string, Operation>> }

const bodies = Object.entries(paths).flatMap(([path, methods]) =>
  Object.entries(methods).flatMap(([method, { operationId, requestBody }]) =>
    Object.entries(requestBody?.content ?? {}).map(([type, media]) => ({ method, path, operationId, type, media })),
  ),
)

const examplesOf = ({ example, examples = {} }: Media) =>
  example === undefined ? Object.values(examples).map(({ value }) => value) : [example]

/** The first item of a listing. */
const firstOf = async (listing: string) => (await call<{ items: { id: string }[] }>('GET', listing)).json.items[0]?.id

/** The address of what the request changes. The operations are called in the order of the description. */
const ADDRESSES: Record<string, () => string | Promise<string>> = {
  updatePool: () => '/v1/pools/shop',
  putTemplate: () => '/v1/templates/gold',
  updateUser: async () => `/v1/users/${await firstOf('/v1/users')}`,
  renewLease: async () => `/v1/leases/${await firstOf('/v1/leases')}/renew`,
  returnLease: async () => `/v1/leases/${await firstOf('/v1/leases')}/return`,
  updateTarget: () => '/v1/targets/tester',
  async verifyTarget() {
    await call('PATCH', '/v1/pools/shop', { body: { replica: 'everything' } })
    await call('PATCH', '/v1/targets/tester', { body: { url, remote_pool: 'shop' } })
    return '/v1/sync/verify'
  },
  putReplicaUsers: () => '/v1/replica/users?pool=shop',
}

t.test('each example succeeds', async (t) => {
  t.ok(bodies.length >= 20, `${bodies.length} bodies`)
  for (const { method, path, operationId, type, media } of bodies) {
    const examples = examplesOf(media)
    t.ok(examples.length > 0, `${operationId} has an example of ${type}`)
    for (const example of examples) {
      const address = await (ADDRESSES[operationId] ?? (() => path))()
      const body = typeof example === 'string' ? example : JSON.stringify(example)
      const headers = { 'content-type': type, prefer: 'wait=30' }
      const { status, json } = await call(method.toUpperCase(), address, { body, headers })
      t.ok(status >= 200 && status < 300, `${operationId} ${body}: ${status} ${JSON.stringify(json)}`)
    }
  }
})
