import { Type } from 'typebox'
import { PeerError } from '../../client/peer.ts'
import { strict } from '../../http/schemas.ts'
import { type KeycloakUser, keycloak as keycloakFormat } from '../../systems/keycloak.ts'
import type { SystemUser } from '../../systems/system-format.ts'
import { createChecked, inHalves, inTurn, isAbsent, membersOf, refuseUnmarked, statusRefusal } from './api-requests.ts'
import { byRequest, type Reply, type Requests } from './by-request.ts'
import { type CallApi, jsonApi, readApiUrl } from './json-api.ts'
import { createTokens } from './keycloak-token.ts'
import type { Delivery, Kind, Refusal, SinkAddress } from './kind.ts'
import { HIDDEN } from './values.ts'

/*
 * Users of a realm of Keycloak, by its admin API. Keycloak sets an id of its own, so the attribute `usersync_id` has ours. A change leaves
 * the password as it is; the hash of one of our users never changes. Sources: keycloak/keycloak UsersResource.java, UserResource.java,
 * partialimport/UsersPartialImport.java, userprofile/DeclarativeUserProfileProviderFactory.java. Not run against a real Keycloak.
 */

interface KeycloakMapping {
  realm: string
  client_id: string
  client_realm?: string
}

const Realm = Type.String({ minLength: 1, maxLength: 255, pattern: '^[^/?#%]+$', description: 'the name of a realm' })

export const keycloak: Kind<KeycloakMapping, KeycloakUser> = {
  limits: { batch: 200, concurrency: 2, per_second: null },
  presets: {},
  secrets: ['password_hash'],
  mappingSchema: strict({
    realm: Realm,
    /** A client with a service account that has the role `manage-users` of `realm-management`. Its secret is the key. */
    client_id: Type.String({ minLength: 1, maxLength: 255 }),
    client_realm: Type.Optional(Realm),
  }),
  mappingFaults: () => [],
  readUrl: readApiUrl,
  render: (_, user) => keycloakFormat.render(user as SystemUser),
  show: (user) => ({ user: { ...user, credentials: HIDDEN } }),
  connect: connectKeycloak,
}

function connectKeycloak({ url, key, mapping, signal }: SinkAddress) {
  const { realm, client_id: clientId, client_realm: clientRealm = realm } = mapping as KeycloakMapping
  const withToken = createTokens({ url, realm: clientRealm, clientId, secret: key ?? '', signal })
  const call = jsonApi({ url: `${url}/admin/realms/${encodeURIComponent(realm)}`, headers: {}, signal })
  return byRequest(
    keycloakRequests((request) => withToken(call, request)),
    signal,
  )
}

const MARK = 'usersync_id'

const NOT_KEPT = `Keycloak does not keep the attribute ${MARK}, so its users could not be found again. Allow unmanaged attributes in the realm (Realm settings, User profile), or add the attribute to the profile.`

const NOT_RENAMED =
  'Keycloak keeps another username. Allow to edit usernames in the realm, and switch off “Email as username” (Realm settings, Login).'

function keycloakRequests(call: CallApi): Requests<KeycloakUser> {
  /** Whether Keycloak has kept our mark of a user that was created. */
  let keepsMark = false
  /** Whether Keycloak has said that usernames can be edited. */
  let editsNames = false

  return {
    async probe() {
      const { status, json } = await call({ method: 'GET', path: '/users?max=1' })
      if (status === 404) throw new PeerError('refused', 'mapping.realm: Keycloak has no such realm.')
      if (status !== 200 || !Array.isArray(json))
        throw new PeerError('not_understood', 'url: there is no admin API of Keycloak.')
    },
    async find(users) {
      const found = new Map<string, string>()
      for (const { userId } of users) {
        const id = await idOf(userId)
        if (id !== undefined) found.set(userId, id)
      }
      return found
    },
    create(users) {
      return createChecked(
        users,
        () => keepsMark,
        createFirst,
        (rest) => inHalves(rest, importAll),
      )
    },
    change: (users) =>
      inTurn(users, async ({ userId, external, rendered: { credentials: _, ...user } }) => {
        const answer = await call({ method: 'PUT', path: `/users/${external}`, body: user })
        if (isAbsent(answer)) return { userId, external: null, mayHaveMoved: true }
        if (answer.status >= 300) return { userId, external, refusal: statusRefusal('Keycloak', answer) }
        return (await hasName(external, user.username))
          ? { userId, external }
          : { userId, external, refusal: { code: 'refused', detail: NOT_RENAMED } }
      }),
    remove: (users) =>
      inTurn(users, async ({ userId, external }) => {
        const answer = await call({ method: 'DELETE', path: `/users/${external}` })
        if (isAbsent(answer)) return { userId, external: null, mayHaveMoved: true }
        if (answer.status < 300) return { userId, external: null }
        return { userId, external, refusal: statusRefusal('Keycloak', answer) }
      }),
    close: () => Promise.resolve(),
  }

  /**
   * Whether a user has this name after a change. A realm that does not allow to edit usernames, as by default, ignores another one with
   * status 204. Reads no more users once Keycloak has said that names can be edited.
   */
  async function hasName(id: string, name: string): Promise<boolean> {
    if (editsNames) return true
    const { status, json } = await call({ method: 'GET', path: `/users/${id}?userProfileMetadata=true` })
    if (status !== 200) throw new PeerError('server_error', `Keycloak does not show a user (status ${status}).`)
    const { username, userProfileMetadata } = membersOf(json)
    const { attributes } = membersOf(userProfileMetadata)
    editsNames =
      Array.isArray(attributes) &&
      attributes.map(membersOf).some(({ name, readOnly }) => name === 'username' && readOnly === false)
    return String(username).toLowerCase() === name.toLowerCase()
  }

  /**
   * Creates a user, and checks that Keycloak keeps our mark. Without it nobody could find the user again, so the user is removed. Throws
   * PeerError `refused`.
   */
  async function createFirst(user: Delivery<KeycloakUser>): Promise<Reply> {
    const [reply] = await inHalves([user], importAll)
    if (!reply || 'fault' in reply || reply.external === null) return reply ?? { userId: user.userId, external: null }
    keepsMark = (await idOf(user.userId)) === reply.external
    if (keepsMark) return reply
    return await refuseUnmarked(call, `/users/${reply.external}`, NOT_KEPT)
  }

  /** Keycloak's id of the user with our id. Undefined: there is none. */
  async function idOf(userId: string): Promise<string | undefined> {
    const query = `q=${encodeURIComponent(`${MARK}:${userId}`)}&briefRepresentation=false&max=2`
    const { status, json } = await call({ method: 'GET', path: `/users?${query}` })
    if (status !== 200 || !Array.isArray(json))
      throw new PeerError('refused', `Keycloak does not look users up (status ${status}).`)
    const user = json.map(membersOf).find(({ attributes }) => {
      const mark = membersOf(attributes)[MARK]
      return Array.isArray(mark) && mark[0] === userId
    })
    return typeof user?.['id'] === 'string' ? user['id'] : undefined
  }

  /**
   * Imports users in one transaction of Keycloak. A user whose name exists is skipped. Keycloak writes names in lower case. Of users whose
   * names differ in case only, the answer does not say which one was added: they count as taken, and are looked up by our mark.
   */
  async function importAll(users: Delivery<KeycloakUser>[]): Promise<Reply[] | Refusal> {
    const body = { ifResourceExists: 'SKIP', users: users.map(({ rendered }) => rendered) }
    const answer = await call({ method: 'POST', path: '/partialImport', body })
    const { results } = membersOf(answer.json)
    if (answer.status !== 200 || !Array.isArray(results)) return statusRefusal('Keycloak', answer)
    const added = new Map(
      results
        .map(membersOf)
        .filter(({ action }) => action === 'ADDED')
        .map(({ resourceName, id }) => [String(resourceName).toLowerCase(), id]),
    )
    const names = users.map(({ rendered }) => rendered.username.toLowerCase())
    return users.map(({ userId }, n) => {
      const name = names[n] ?? ''
      const id = names.indexOf(name) === names.lastIndexOf(name) ? added.get(name) : undefined
      if (typeof id === 'string') return { userId, external: id }
      return { userId, external: null, refusal: statusRefusal('Keycloak', { status: 409 }) }
    })
  }
}
