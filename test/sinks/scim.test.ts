import fc from 'fast-check'
import { PeerError } from '../../src/client/peer.ts'
import type { ApiAnswer, CallApi } from '../../src/sync/kinds/json-api.ts'
import type { SinkUser } from '../../src/sync/kinds/kind.ts'
import { operateInBulk } from '../../src/sync/kinds/scim/bulk.ts'
import { createLookUp } from '../../src/sync/kinds/scim/look-up.ts'
import { attributeFaults, PRESETS, renderUser, type ScimUser } from '../../src/sync/kinds/scim/mapping.ts'
import { type Operation, operateSingly } from '../../src/sync/kinds/scim/operations.ts'
import { changeReply, creationReply } from '../../src/sync/kinds/scim/replies.ts'
import { HIDDEN } from '../../src/sync/kinds/values.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()

const user: SinkUser = {
  id: '01890000-0000-7000-8000-000000000001',
  username: 'ann@example.com',
  email: 'ann@example.com',
  role: 'user',
  batch_id: null,
  custom_attributes: { age: 30, phone: null, tags: ['a'] },
  created_at: '2026-01-01T00:00:00.000000Z',
  updated_at: '2026-01-02T00:00:00.000000Z',
  password: 'plain s3cret',
}

t.test('a user becomes a resource with our id; what has no value is left out, and types are kept', (t) => {
  t.strictSame(attributeFaults(PRESETS['user'] ?? {}), [])
  t.match(renderUser(PRESETS['user'] ?? {}, user, true), {
    rendered: { schemas: [/core:2.0:User$/], externalId: user.id, userName: user.username, active: true },
  })
  const enterprise = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User'
  const mapping = {
    userName: '{username}',
    title: '{batch_id}',
    age: '{custom_attributes.age}',
    tags: '{custom_attributes.tags}',
    phoneNumbers: [{ type: 'work', value: '{custom_attributes.phone}' }],
    name: { givenName: '{custom_attributes.none}', familyName: 'is {custom_attributes.age}' },
    password: { $member: 'password' },
    [enterprise]: { department: '{role}' },
  }
  const rendered = {
    schemas: ['urn:ietf:params:scim:schemas:core:2.0:User', enterprise],
    externalId: user.id,
    userName: 'ann@example.com',
    age: 30,
    tags: ['a'],
    name: { familyName: 'is 30' },
    password: 'plain s3cret',
    [enterprise]: { department: 'user' },
  }
  t.strictSame(renderUser(mapping, user, true), { rendered })
  t.strictSame(renderUser(mapping, user, false), { rendered: { ...rendered, password: HIDDEN } })
  t.match(renderUser(mapping, { ...user, password: null }, true), { refusal: { code: 'credential_missing' } })
  t.match(renderUser({ userName: '{batch_id}' }, user, true), { refusal: { code: 'value_missing' } })
  t.end()
})

const operations = (lengths: number[]): Operation[] =>
  lengths.map((length, n) => {
    const data: ScimUser = { schemas: [], externalId: `u${n}`, userName: 'ü'.repeat(length) }
    return { userId: `u${n}`, method: 'POST', path: '/Users', data }
  })

/** A server that counts what it gets, and answers a bulk request in reverse order. */
function server(maxOperations: number, maxBytes: number) {
  const seen: string[] = []
  const call: CallApi = ({ path, body = '' }) =>
    Promise.try((): ApiAnswer => {
      if (path !== '/Bulk') {
        seen.push((body as ScimUser).externalId)
        return { status: 201, headers: {}, json: { id: `x${(body as ScimUser).externalId}` } }
      }
      const { Operations: list } = JSON.parse(String(body)) as { Operations: { bulkId: string }[] }
      if (list.length > maxOperations || Buffer.byteLength(String(body)) > maxBytes)
        return { status: 413, headers: {}, json: undefined }
      seen.push(...list.map(({ bulkId }) => bulkId))
      const answers = list.map(({ bulkId }) => ({
        method: 'POST',
        bulkId,
        location: `/Users/x${bulkId}`,
        status: '201',
      }))
      return { status: 200, headers: {}, json: { Operations: answers.toReversed() } }
    })
  return { call, seen }
}

t.test('bulk requests stay within the bounds, and each user is sent once, whatever its size', async () => {
  const sizes = fc.array(fc.nat(400), { minLength: 1, maxLength: 30 })
  const property = fc.asyncProperty(
    sizes,
    fc.nat(9),
    fc.integer({ min: 50, max: 3_000 }),
    fc.boolean(),
    async (sizes, more, maxPayloadSize, isHonest) => {
      const maxOperations = more + 1
      // A server may take less than it says.
      const { call, seen } = server(isHonest ? maxOperations : maxOperations / 2, maxPayloadSize)
      const operate = operateInBulk(call, { maxOperations, maxPayloadSize }, operateSingly(call))
      const results = await operate(operations(sizes))
      const ids = results.map((result) => ('fault' in result ? result.fault : (result.json as { id?: string }).id))
      const wanted = sizes.map((_, n) => `u${n}`)
      return (
        String(ids) === String(wanted.map((id) => `x${id}`)) && String(seen.toSorted()) === String(wanted.toSorted())
      )
    },
  )
  await fc.assert(property, { numRuns: sized(100, 300) })
})

t.test('after a fault of the target, no further request is sent; after one of a user, they are', async (t) => {
  for (const [fault, sent, mayConcernOne] of [
    ['busy', 2, undefined],
    ['unreachable', 2, undefined],
    ['server_error', 5, undefined],
    ['unauthorized', 2, undefined],
    ['unauthorized', 5, true],
  ] as const) {
    let requests = 0
    const call: CallApi = () => {
      if (++requests === 2)
        return Promise.reject(new PeerError(fault, 'x', { ...(mayConcernOne && { mayConcernOne }) }))
      return Promise.resolve({ status: 201, headers: {}, json: { id: 'x' } })
    }
    const results = await operateSingly(call)(operations([1, 1, 1, 1, 1]))
    t.equal(requests, sent, fault)
    t.strictSame(
      results.map((result) => ('fault' in result ? result.isSent : 'done')),
      ['done', fault !== 'unauthorized', ...Array(3).fill(sent === 5 ? 'done' : false)],
      fault,
    )
  }
})

t.test('a refusal is in our words, and names only attributes of ours', (t) => {
  const [operation] = operations([1])
  if (!operation) throw new Error('none')
  const reply = (status: number, json: unknown) => creationReply(operation, { status, json })
  const secret = '<script>s3cret</script>'
  const table: [status: number, json: unknown, code: string, detail: string][] = [
    [409, undefined, 'exists_already', 'Another user has the same unique value there (status 409).'],
    [
      409,
      { scimType: 'uniqueness', detail: `'userName' ${secret} is taken` },
      'exists_already',
      'Another user has the same unique value there (status 409): userName.',
    ],
    [
      400,
      { scimType: 'invalidValue', detail: secret },
      'refused',
      'A value is missing, or is not one that the server takes (status 400).',
    ],
    [400, { scimType: secret, detail: [secret] }, 'refused', 'The server refuses it (status 400).'],
    [413, null, 'refused', 'The server refuses it (status 413).'],
  ]
  for (const [status, json, code, detail] of table)
    t.match(reply(status, json), { external: null, refusal: { code, detail } }, detail)
  t.strictSame(changeReply(operation, 'x', { status: 404, json: null }), { userId: 'u0', external: null }, 'gone')
  t.match(changeReply(operation, 'x', { status: 409, json: null }), {
    external: 'x',
    refusal: { code: 'exists_already' },
  })
  t.end()
})

/** A server with these users, by externalId, that returns so many at a time. */
const directory =
  (externalIds: string[], page: number): CallApi =>
  ({ path }) => {
    const filter = new URLSearchParams(path.split('?')[1]).get('filter') ?? ''
    const wanted = [...filter.matchAll(/externalId eq "([^"]+)"/g)].map(([, id]) => id)
    const found = externalIds.flatMap((externalId, n) =>
      wanted.includes(externalId) ? [{ id: `x${n}`, externalId }] : [],
    )
    const json = { totalResults: found.length, ...(found.length > 0 && { Resources: found.slice(0, page) }) }
    return Promise.resolve({ status: 200, headers: {}, json })
  }

const noWait = new AbortController().signal

t.test('users are found whatever the size of pages, also those that are there twice', async () => {
  const ids = fc.array(fc.nat(60).map((n) => `u${n}`))
  const property = fc.asyncProperty(
    ids,
    fc.uniqueArray(fc.nat(60).map((n) => `u${n}`)),
    fc.nat(30),
    async (there, wanted, more) => {
      const found = await createLookUp(directory(there, more + 1), noWait).find(wanted)
      const right = [...found].every(([externalId, id]) => there[Number(id.slice(1))] === externalId)
      return (
        right && String([...found.keys()].toSorted()) === String(wanted.filter((id) => there.includes(id)).toSorted())
      )
    },
  )
  await fc.assert(property)
})

t.test('an answer that is no list, or has users of others, does not mean that nobody is there', async (t) => {
  for (const json of [undefined, {}, [], { totalResults: 0, Resources: {} }, { Resources: [] }]) {
    const call: CallApi = () => Promise.resolve({ status: 200, headers: {}, json })
    await t.rejects(createLookUp(call, noWait).find(['u1', 'u2']), { fault: 'refused', message: /does not filter/ })
  }
  for (const other of [{ id: 'x', externalId: 'u3' }, { id: 'x' }, null]) {
    const json = { totalResults: 1, Resources: [other] }
    const call: CallApi = () => Promise.resolve({ status: 200, headers: {}, json })
    await t.rejects(createLookUp(call, noWait).find(['u1', 'u2']), { fault: 'refused', message: /ignores filters/ })
  }
})
