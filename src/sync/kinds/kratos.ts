import { Type } from 'typebox'
import { PeerError } from '../../client/peer.ts'
import { strict } from '../../http/schemas.ts'
import { type KratosPatch, kratos as kratosFormat } from '../../systems/kratos.ts'
import type { SystemUser } from '../../systems/system-format.ts'
import { inHalves, inTurn, isAbsent, membersOf, statusRefusal } from './api-requests.ts'
import { byRequest, type Reply, type Requests } from './by-request.ts'
import { type CallApi, jsonApi, readApiUrl } from './json-api.ts'
import type { Delivery, Kind, Refusal, SinkAddress } from './kind.ts'
import { compileValue, HIDDEN, InvalidValue } from './values.ts'

/*
 * Users as identities of Ory Kratos, by its admin API. Their `external_id` is our id; Kratos sets an id of its own. Sources: ory/kratos
 * @b86338d identity/handler.go, identity/handler_patch.go. Not run against a real Kratos.
 */

interface KratosMapping {
  schema_id?: string
  /** As templates: the traits of the identity schema. */
  traits?: Record<string, unknown>
}

type Identity = KratosPatch['create']

export const kratos: Kind<KratosMapping, Identity> = {
  limits: { batch: 200, concurrency: 2, per_second: null },
  presets: {},
  secrets: ['password_hash'],
  mappingSchema: strict({
    schema_id: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
    traits: Type.Optional(Type.Object({}, { additionalProperties: true, minProperties: 1, maxProperties: 100 })),
  }),
  mappingFaults(mapping) {
    try {
      const { traits } = mapping as KratosMapping
      // Without `json` it is a single value, such as {"$member": …}.
      if (traits && !compileValue(traits).json) throw new InvalidValue('expects an object with the traits')
      return []
    } catch (error) {
      if (!(error instanceof InvalidValue)) throw error
      return [{ path: 'body.mapping.traits', code: 'invalid', message: error.message }]
    }
  },
  readUrl: readApiUrl,
  hasHeaderKey: true,
  render({ schema_id = 'default', traits }, user) {
    const rendering = kratosFormat.render(user as SystemUser)
    if ('refusal' in rendering) return rendering
    const { create } = rendering.rendered
    const own = traits && (compileValue(traits).json?.(user) as Record<string, unknown>)
    return { rendered: { ...create, schema_id, traits: own ?? create.traits } }
  },
  show: (identity) => ({ identity: { ...identity, credentials: HIDDEN } }),
  connect: connectKratos,
}

function connectKratos({ url, key, mapping, signal }: SinkAddress) {
  const headers: Record<string, string> = key === undefined ? {} : { authorization: `Bearer ${key}` }
  return byRequest(kratosRequests(jsonApi({ url, headers, signal }), mapping as KratosMapping), signal)
}

function kratosRequests(call: CallApi, { schema_id: schemaId = 'default' }: KratosMapping): Requests<Identity> {
  return {
    async probe() {
      const { status } = await call({ method: 'GET', path: `/schemas/${encodeURIComponent(schemaId)}` })
      const { status: listStatus, json } = await call({ method: 'GET', path: '/admin/identities?page_size=1' })
      if (listStatus !== 200 || !Array.isArray(json))
        throw new PeerError('not_understood', 'url: there is no admin API of Kratos. Its port is 4434 by default.')
      if (status !== 200) throw new PeerError('refused', `mapping.schema_id: Kratos has no schema ${schemaId}.`)
    },
    async find(users) {
      const found = new Map<string, string>()
      for (const { userId } of users) {
        const answer = await call({ method: 'GET', path: `/admin/identities/by/external/${userId}` })
        const { id } = membersOf(answer.json)
        if (answer.status === 200 && typeof id === 'string') found.set(userId, id)
        else if (!isAbsent(answer))
          throw new PeerError('refused', `Kratos does not look users up (status ${answer.status}).`)
      }
      return found
    },
    create: (users) => inHalves(users, createAll),
    change: (users) =>
      inTurn(users, async ({ userId, external, rendered }) => {
        const answer = await call({ method: 'PUT', path: `/admin/identities/${external}`, body: rendered })
        if (isAbsent(answer)) return { userId, external: null, mayHaveMoved: true }
        return answer.status === 200
          ? { userId, external }
          : { userId, external, refusal: statusRefusal('Kratos', answer) }
      }),
    remove: (users) =>
      inTurn(users, async ({ userId, external }) => {
        const answer = await call({ method: 'DELETE', path: `/admin/identities/${external}` })
        if (isAbsent(answer)) return { userId, external: null, mayHaveMoved: true }
        if (answer.status < 300) return { userId, external: null }
        return { userId, external, refusal: statusRefusal('Kratos', answer) }
      }),
    close: () => Promise.resolve(),
  }

  /** Kratos answers for each identity, but refuses the request as a whole if one is invalid. */
  async function createAll(users: Delivery<Identity>[]): Promise<Reply[] | Refusal> {
    const identities = users.map(({ userId, rendered }) => ({ patch_id: userId, create: rendered }))
    const { status, json } = await call({ method: 'PATCH', path: '/admin/identities', body: { identities } })
    const { identities: answers } = membersOf(json)
    if (!Array.isArray(answers)) return statusRefusal('Kratos', { status })
    const byUser = new Map(answers.map(membersOf).map((answer) => [answer['patch_id'], answer]))
    return users.map(({ userId }) => {
      const { action, identity, error } = byUser.get(userId) ?? {}
      if (action === 'create' && typeof identity === 'string') return { userId, external: identity }
      const code = Number(membersOf(error)['code'] ?? membersOf(error)['status'])
      return {
        userId,
        external: null,
        refusal: statusRefusal('Kratos', { status: Number.isInteger(code) ? code : 400 }),
      }
    })
  }
}
