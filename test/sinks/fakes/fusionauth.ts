import type { Test } from 'tap'
import { exactly, type FakeUser, isTaken, listOf, Refused, type Reply, startFake } from './fake-api.ts'

export const FUSIONAUTH_KEY = 'the-api-key'
const DUPLICATE = { fieldErrors: { 'user.email': [{ code: '[duplicate]user.email', message: 'A user exists.' }] } }
/** An application of the tenant. */
export const APPLICATION = '0190a1b2-0000-7000-8000-00000000a991'

const PROFILE = ['id', 'email', 'active', 'verified', 'insertInstant', 'data']
const NAMES = ['username', 'firstName', 'lastName']

/**
 * FusionAuth's API, by fusionauth-site apis/_import-users-request-body.mdx @092407f, apis/users.mdx @028c568 and apis/registrations.mdx
 * @0e8a70b. A 404 has no body.
 */
export const startFusionAuth = (t: Test) =>
  startFake(t, ({ method, path, headers, text }, users): Reply => {
    if (headers.authorization !== FUSIONAUTH_KEY) throw new Refused(401)
    const json = text === undefined ? undefined : JSON.parse(text)
    if (path === '/api/user/import' && method === 'POST') {
      const { users: given, validateDbConstraints } = exactly(json, ['users', 'validateDbConstraints'])
      const read = listOf(given).map(readImported)
      const emails = new Set(read.map(({ email }) => email))
      const isDouble = read.some(({ id, email }) => users.has(id) || isTaken(users, undefined, { email }))
      if (isDouble || emails.size < read.length) throw new Refused(validateDbConstraints ? 400 : 500, DUPLICATE)
      for (const user of read) users.set(user.id, user)
      return { status: 200 }
    }
    if (path === '/api/user/bulk' && method === 'DELETE') {
      const { userIds, hardDelete } = exactly(json, ['userIds', 'hardDelete'])
      const ids = listOf(userIds).map(String)
      if (hardDelete !== true || ids.length > 10_000) throw new Refused(400)
      for (const id of ids) users.delete(id)
      return { status: 200, json: { dryRun: false, hardDelete: true, total: ids.length, userIds: ids } }
    }
    if (path === '/api/application') return { status: 200, json: { applications: [{ id: APPLICATION }] } }
    if (path === `/api/application/${APPLICATION}`) return { status: 200, json: { application: { id: APPLICATION } } }
    const [, registered = '', application] = /^\/api\/user\/registration\/([^/]+)(?:\/(.+))?$/.exec(path) ?? []
    if (registered !== '') {
      const user = users.get(registered)
      if (!user || (method === 'PUT' && !user.roles)) return { status: 404 }
      if (method === 'PUT' ? application !== APPLICATION : method !== 'POST' || user.roles) throw new Refused(400)
      const { registration } = exactly(json, ['registration'], ['skipRegistrationVerification'])
      users.set(registered, { ...user, roles: rolesOf(registration) })
      return { status: 200, json: { registration } }
    }
    const [, id = ''] = /^\/api\/user\/([0-9a-f-]{36})$/.exec(path) ?? []
    const present = users.get(id)
    if (!present) return { status: 404 }
    if (method === 'GET') return { status: 200, json: { user: { id } } }
    if (method !== 'PUT') throw new Refused(405)
    const { user } = exactly(json, ['user', 'skipVerification'])
    const { email, data, username = '' } = exactly(user, PROFILE, NAMES)
    if (isTaken(users, id, { email: String(email) })) throw new Refused(400, DUPLICATE)
    const { role } = data as { role: string }
    users.set(id, { ...present, email: String(email), username: String(username), role })
    return { status: 200, json: { user: { id } } }
  })

function readImported(value: unknown): FakeUser {
  const user = exactly(
    value,
    [...PROFILE, 'encryptionScheme', 'factor', 'salt', 'password'],
    [...NAMES, 'registrations'],
  )
  const { id, email, active, data, username = '', encryptionScheme, factor, salt, password } = user
  const isBase64 = (text: unknown) =>
    typeof text === 'string' && Buffer.from(text, 'base64').toString('base64') === text
  const isHash = encryptionScheme === 'salted-pbkdf2-hmac-sha256' && isBase64(salt) && isBase64(password)
  if (active !== true || !isHash || !Number.isInteger(factor)) throw new Refused(400)
  const { role } = data as { role: string }
  const hash = `pbkdf2_sha256$${factor}$${salt}$${password}`
  const [registration] = listOf(user['registrations'] ?? [])
  return {
    ...{ id: String(id), username: String(username), email: String(email), role, hash, mark: String(id) },
    ...(registration !== undefined && { roles: rolesOf(registration) }),
  }
}

function rolesOf(registration: unknown): string[] {
  const { applicationId, roles } = exactly(registration, ['applicationId', 'roles'])
  if (applicationId !== APPLICATION) throw new Refused(400)
  return listOf(roles).map(String)
}
