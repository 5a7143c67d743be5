import { randomUUID } from 'node:crypto'
import { Type } from 'typebox'
import { PeerError } from '../../client/peer.ts'
import { strict } from '../../http/schemas.ts'
import { type FusionAuthUser, fusionauth as fusionauthFormat } from '../../systems/fusionauth.ts'
import type { SystemUser } from '../../systems/system-format.ts'
import { inHalves, inTurn, isAbsent, membersOf, statusRefusal } from './api-requests.ts'
import { byRequest, type Reply, type Requests } from './by-request.ts'
import { type CallApi, jsonApi, readApiUrl } from './json-api.ts'
import type { Delivery, Kind, Refusal, Removal, SinkAddress } from './kind.ts'
import { HIDDEN } from './values.ts'

/*
 * Users of FusionAuth, by its API. They keep our ids. A hash is part of the import alone, so a change leaves the password as it is; the
 * hash of one of our users never changes. A registration is changed by itself. Sources: fusionauth-site
 * apis/_import-users-request-body.mdx @092407f, apis/users.mdx @028c568, apis/registrations.mdx @0e8a70b. Not run against a real FusionAuth.
 */

interface FusionAuthMapping {
  tenant_id?: string
  application_id?: string
}

/** A user with its registration for an application. */
type User = FusionAuthUser & { registrations?: Registration[] }

interface Registration {
  applicationId: string
  roles: string[]
}

const Id = Type.Optional(Type.String({ pattern: '^[0-9a-fA-F-]{36}$', description: 'a UUID' }))

export const fusionauth: Kind<FusionAuthMapping, User> = {
  limits: { batch: 1_000, concurrency: 1, per_second: null }, // imports in parallel are advised against
  presets: {},
  secrets: ['password_hash'],
  mappingSchema: strict({ tenant_id: Id, application_id: Id }),
  mappingFaults: () => [],
  readUrl: readApiUrl,
  hasHeaderKey: true,
  render({ application_id: applicationId }, user) {
    const rendering = fusionauthFormat.render(user as SystemUser)
    if ('refusal' in rendering || applicationId === undefined) return rendering
    return { rendered: { ...rendering.rendered, registrations: [{ applicationId, roles: [user.role] }] } }
  },
  show: ({ password: _, salt: __, ...user }) => ({ user: { ...user, password: HIDDEN } }),
  connect: connectFusionAuth,
}

function connectFusionAuth({ url, key, mapping, signal }: SinkAddress) {
  const { tenant_id: tenantId, application_id: applicationId } = mapping as FusionAuthMapping
  const headers = {
    ...(key !== undefined && { authorization: key }),
    ...(tenantId !== undefined && { 'x-fusionauth-tenantid': tenantId }),
  }
  return byRequest(fusionAuthRequests(jsonApi({ url, headers, mayBeEmpty: true, signal }), applicationId), signal)
}

function fusionAuthRequests(call: CallApi, applicationId: string | undefined): Requests<User> {
  return {
    async probe() {
      const { status } = await call({ method: 'GET', path: `/api/user/${randomUUID()}` })
      if (status !== 404)
        throw new PeerError(
          'not_understood',
          `url: there is no API of FusionAuth (status ${status} for an unknown user).`,
        )
      await requireApi()
      if (applicationId === undefined) return
      const { status: found } = await call({ method: 'GET', path: `/api/application/${applicationId}` })
      if (found !== 200)
        throw new PeerError('refused', `mapping.application_id: FusionAuth has no application ${applicationId}.`)
    },
    async find(users) {
      const found = new Map<string, string>()
      for (const { userId } of users) {
        const answer = await call({ method: 'GET', path: `/api/user/${userId}` })
        if (answer.status === 200) found.set(userId, userId)
        else if (!isAbsent(answer))
          throw new PeerError('refused', `FusionAuth does not look users up (status ${answer.status}).`)
      }
      if (found.size < users.length) await requireApi()
      return found
    },
    create: (users) => inHalves(users, importAll),
    change: (users) =>
      inTurn(users, async ({ userId, external, rendered }) => {
        const { password: _, salt: __, factor: ___, encryptionScheme: ____, registrations, ...user } = rendered
        const answer = await call({
          method: 'PUT',
          path: `/api/user/${external}`,
          body: { user, skipVerification: true },
        })
        if (isAbsent(answer)) {
          await requireApi()
          return { userId, external: null }
        }
        if (answer.status !== 200) return { userId, external, refusal: refusalOf(answer) }
        const [registration] = registrations ?? []
        const refusal = registration && (await register(external, registration))
        return refusal ? { userId, external, refusal } : { userId, external }
      }),
    remove: (users) => inHalves(users, removeAll),
    close: () => Promise.resolve(),
  }

  /** Imports all users or none. The answer has no body. */
  async function importAll(users: Delivery<User>[]): Promise<Reply[] | Refusal> {
    const body = { validateDbConstraints: true, users: users.map(({ rendered }) => rendered) }
    const answer = await call({ method: 'POST', path: '/api/user/import', body })
    if (answer.status === 200) return users.map(({ userId }) => ({ userId, external: userId }))
    return refusalOf(answer)
  }

  /** Changes the registration of a user, or creates it if somebody removed it. Returns why FusionAuth refuses it, if it does. */
  async function register(userId: string, registration: Registration): Promise<Refusal | undefined> {
    const path = `/api/user/registration/${userId}`
    const changed = await call({ method: 'PUT', path: `${path}/${registration.applicationId}`, body: { registration } })
    const answer = isAbsent(changed)
      ? await call({ method: 'POST', path, body: { registration, skipRegistrationVerification: true } })
      : changed
    return answer.status === 200 ? undefined : refusalOf(answer)
  }

  /** FusionAuth's 404 for a user has no body, so that of a proxy that has lost FusionAuth looks the same. */
  async function requireApi(): Promise<void> {
    const { status } = await call({ method: 'GET', path: '/api/application' })
    if (status === 200) return
    throw new PeerError('not_understood', `url: there is no API of FusionAuth (status ${status} for /api/application).`)
  }

  /** Removes users at once and permanently. Unknown ids do no harm. */
  async function removeAll(users: Removal[]): Promise<Reply[] | Refusal> {
    const body = { userIds: users.map(({ external }) => external), hardDelete: true }
    const answer = await call({ method: 'DELETE', path: '/api/user/bulk', body })
    if (isAbsent(answer)) await requireApi()
    if (answer.status === 200 || isAbsent(answer)) return users.map(({ userId }) => ({ userId, external: null }))
    return refusalOf(answer)
  }
}

/** FusionAuth answers 400 for a duplicate, with a code such as `[duplicate]user.email`. */
function refusalOf({ status, json }: { status: number; json: unknown }): Refusal {
  const { fieldErrors, generalErrors } = membersOf(json)
  const errors = [
    ...Object.values(membersOf(fieldErrors)).flat(),
    ...(Array.isArray(generalErrors) ? generalErrors : []),
  ]
  const isDuplicate = errors.some((error) => String(membersOf(error)['code']).startsWith('[duplicate]'))
  return statusRefusal('FusionAuth', { status: isDuplicate ? 409 : status })
}
