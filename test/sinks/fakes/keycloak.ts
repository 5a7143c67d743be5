import { randomUUID } from 'node:crypto'
import type { Test } from 'tap'
import { exactly, type FakeUser, isTaken, listOf, Refused, type Reply, startFake } from './fake-api.ts'

export const KEYCLOAK_CLIENT = { client_id: 'usersync', client_secret: 'the-client-secret' }

/**
 * Keycloak's admin API, by keycloak/keycloak UsersResource.java, UserResource.java, partialimport/. Tokens live for a moment. Without
 * unmanaged attributes, it drops attributes silently. Without editable usernames, which is the default, it keeps usernames silently.
 */
export async function startKeycloak(
  t: Test,
  { keepsAttributes = true, editsUsernames = true, tokenSeconds = 11 } = {},
) {
  const tokens = new Map<string, number>()
  return await startFake(t, ({ method, path, query, headers, text = '' }, users): Reply => {
    if (path === '/realms/shop/protocol/openid-connect/token') {
      const { grant_type, ...client } = Object.fromEntries(new URLSearchParams(text))
      const isClient = JSON.stringify(client) === JSON.stringify(KEYCLOAK_CLIENT)
      if (grant_type !== 'client_credentials' || !isClient) throw new Refused(401)
      const token = randomUUID()
      tokens.set(token, Date.now() + tokenSeconds * 1000)
      return { status: 200, json: { access_token: token, expires_in: tokenSeconds, token_type: 'Bearer' } }
    }
    if (path.startsWith('/realms/')) return { status: 404, json: { error: 'Realm does not exist' } }
    if (!((tokens.get(headers.authorization?.slice(7) ?? '') ?? 0) > Date.now())) throw new Refused(401)
    if (!path.startsWith('/admin/realms/shop/')) return { status: 404, json: { error: 'Realm not found.' } }
    const rest = path.slice('/admin/realms/shop'.length)
    if (rest === '/partialImport' && method === 'POST') {
      const { ifResourceExists, users: given } = exactly(JSON.parse(text), ['ifResourceExists', 'users'])
      if (ifResourceExists !== 'SKIP') throw new Refused(409)
      const read = listOf(given).map((each) => readUser(each, keepsAttributes))
      const results = read.map((user) => {
        const { id, username, email } = user
        const isSkipped = isTaken(users, undefined, { username, email })
        if (!isSkipped) users.set(id, user)
        const known = [...users.values()].find((other) => other.username === username || other.email === email)
        const action = isSkipped ? 'SKIPPED' : 'ADDED'
        return { action, resourceType: 'USER', resourceName: username, id: known?.id }
      })
      return { status: 200, json: { overwritten: 0, added: 0, skipped: 0, results } }
    }
    if (rest === '/users' && method === 'GET') {
      const [, mark] = /^usersync_id:(.+)$/.exec(query.get('q') ?? '') ?? []
      const found = [...users.values()].filter((user) => mark === undefined || user.mark === mark)
      const json = found.slice(0, Number(query.get('max'))).map(({ id, mark }) => ({
        id,
        ...(mark !== undefined && { attributes: { usersync_id: [mark] } }),
      }))
      return { status: 200, json }
    }
    const [, id = ''] = /^\/users\/([0-9a-f-]{36})$/.exec(rest) ?? []
    const present = users.get(id)
    if (!present) return { status: 404, json: { error: 'User not found' } }
    if (method === 'DELETE') return { status: users.delete(id) ? 204 : 404 }
    if (method === 'GET') {
      const attributes = [{ name: 'username', readOnly: !editsUsernames }]
      const profile = query.get('userProfileMetadata') === 'true' && { userProfileMetadata: { attributes } }
      return { status: 200, json: { id, username: present.username, ...profile } }
    }
    if (method !== 'PUT') throw new Refused(405)
    const user = readUser({ ...JSON.parse(text), credentials: undefined }, keepsAttributes)
    if (!editsUsernames) user.username = present.username
    if (isTaken(users, id, { username: user.username, email: user.email })) throw new Refused(409)
    users.set(id, { ...user, id, hash: present.hash })
    return { status: 204 }
  })
}

const MEMBERS = [
  'username',
  'email',
  'emailVerified',
  'enabled',
  'firstName',
  'lastName',
  'attributes',
  'requiredActions',
]

function readUser(value: unknown, keepsAttributes: boolean): FakeUser {
  const { username, email, attributes, credentials } = exactly(value, [...MEMBERS, 'credentials'])
  const { role = [], usersync_id: mark = [] } = attributes as Record<string, string[]>
  const hash = credentials === undefined ? '' : readCredential(listOf(credentials)[0])
  const [kept] = keepsAttributes ? mark : []
  return {
    id: randomUUID(),
    username: String(username).toLowerCase(),
    email: String(email),
    role: role[0] ?? '',
    hash,
    mark: kept,
  }
}

/** Keycloak compares hashes as texts, and reads `additionalParameters` as lists. */
function readCredential(value: unknown): string {
  const { type, secretData, credentialData } = exactly(value, ['type', 'secretData', 'credentialData'])
  const { value: hash, salt } = JSON.parse(String(secretData))
  const { hashIterations, algorithm, additionalParameters } = JSON.parse(String(credentialData))
  const lists = Object.values(additionalParameters).every((list) => Array.isArray(list) && typeof list[0] === 'string')
  const isPadded = hash.length % 4 === 0 && salt.length % 4 === 0
  if (type !== 'password' || !['argon2', 'pbkdf2-sha256'].includes(algorithm) || !lists || !isPadded)
    throw new Refused(400)
  return `${algorithm}$${hashIterations}$${salt}$${hash}`
}
