import { randomUUID } from 'node:crypto'
import type { Test } from 'tap'
import { exactly, type FakeUser, isTaken, listOf, Refused, type Reply, startFake } from './fake-api.ts'

/** Ory Kratos's admin API, by ory/kratos @b86338d: identity/handler.go, hash/hash_limits.go. It decodes strictly. */
export const startKratos = (t: Test) =>
  startFake(t, ({ method, path, query, text }, users): Reply => {
    const json = text === undefined ? undefined : JSON.parse(text)
    if (path.startsWith('/schemas/')) return { status: path === '/schemas/default' ? 200 : 404, json: {} }
    if (path === '/admin/identities' && method === 'GET' && query.has('page_size'))
      return { status: 200, json: [...users.values()].slice(0, Number(query.get('page_size'))) }
    if (path === '/admin/identities' && method === 'PATCH') {
      const identities = listOf(exactly(json, ['identities'])['identities'])
      if (identities.length > 1_000) throw new Refused(400)
      const read = identities.map((each) => {
        const { patch_id: patch, create } = exactly(each, ['patch_id', 'create'])
        return { patch, user: readIdentity(create) } // one invalid identity fails the request
      })
      const answers = read.map(({ patch, user }) => {
        const { email, mark } = user
        if (isTaken(users, undefined, { email, mark }))
          return { action: 'error', patch_id: patch, error: { code: 409, status: 'Conflict' } }
        users.set(user.id, user)
        return { action: 'create', identity: user.id, patch_id: patch }
      })
      return { status: 200, json: { identities: answers } }
    }
    const external = /^\/admin\/identities\/by\/external\/(.+)$/.exec(path)?.[1]
    if (external !== undefined) {
      const user = [...users.values()].find(({ mark }) => mark === external)
      return user ? { status: 200, json: { id: user.id, external_id: user.mark } } : { status: 404, json: {} }
    }
    const [, id = ''] = /^\/admin\/identities\/([0-9a-f-]{36})$/.exec(path) ?? []
    if (!users.has(id)) return { status: 404, json: {} }
    if (method === 'DELETE') return { status: users.delete(id) ? 204 : 404 }
    if (method !== 'PUT') throw new Refused(405)
    const user = { ...readIdentity(json), id }
    if (isTaken(users, id, { email: user.email, mark: user.mark })) throw new Refused(409)
    users.set(id, user)
    return { status: 200, json: { id } }
  })

function readIdentity(value: unknown): FakeUser {
  const identity = exactly(
    value,
    ['schema_id', 'traits', 'state', 'credentials'],
    ['external_id', 'verifiable_addresses', 'recovery_addresses', 'metadata_public', 'metadata_admin'],
  )
  const { email } = exactly(identity['traits'], ['email'])
  if (identity['state'] !== 'active') throw new Refused(400)
  const { password } = exactly(identity['credentials'], ['password'])
  const { hashed_password: hash } = exactly(exactly(password, ['config'])['config'], ['hashed_password'])
  const [, iterations] = /^\$argon2id\$v=19\$m=\d+,t=(\d+),p=\d+\$[\w+/]+\$[\w+/]+$/.exec(String(hash)) ?? []
  const isKnown = /^\$2[aby]\$\d\d\$[\w./]{53}$/.test(String(hash)) || Number(iterations) <= 10
  if (!isKnown) throw new Refused(400)
  const { role } = exactly(identity['metadata_public'], ['role', 'custom_attributes'])
  const mark = identity['external_id'] as string
  return { id: randomUUID(), username: '', email: String(email), role: String(role), hash: String(hash), mark }
}
