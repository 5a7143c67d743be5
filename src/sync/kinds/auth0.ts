import { setTimeout as sleep } from 'node:timers/promises'
import { Type } from 'typebox'
import { PeerError } from '../../client/peer.ts'
import { strict } from '../../http/schemas.ts'
import { type Auth0User, auth0 as auth0Format } from '../../systems/auth0.ts'
import type { SystemUser } from '../../systems/system-format.ts'
import { inHalves, inTurn, isAbsent, membersOf, statusRefusal } from './api-requests.ts'
import { byRequest, type Reply, type Requests } from './by-request.ts'
import { type CallApi, jsonApi, readApiUrl } from './json-api.ts'
import type { Delivery, Kind, Refusal, SinkAddress } from './kind.ts'
import { HIDDEN } from './values.ts'

/*
 * Users of a database connection of Auth0, by its Management API. Their id is `auth0|` and ours. Users are created by import jobs, two at
 * a time at most. A change leaves the password as it is, and cannot remove single members of user_metadata. Sources: auth0/docs-v2
 * bulk-user-imports.mdx @03dc323. Not run against the real Auth0.
 */

interface Auth0Mapping {
  connection_id: string
}

export const auth0: Kind<Auth0Mapping, Auth0User> = {
  limits: { batch: 500, concurrency: 1, per_second: null },
  presets: {},
  secrets: ['password_hash'],
  mappingSchema: strict({
    connection_id: Type.String({ pattern: '^con_[A-Za-z0-9]{1,60}$', description: 'the id of a connection, con_…' }),
  }),
  mappingFaults: () => [],
  readUrl: readApiUrl,
  hasHeaderKey: true,
  render: (_, user) => auth0Format.render(user as SystemUser),
  show: ({ password_hash: _, custom_password_hash: __, ...user }: Auth0User & Record<string, unknown>) => ({
    user: { ...user, password_hash: HIDDEN },
  }),
  connect: ({ url, key, mapping, signal }: SinkAddress) => {
    const headers: Record<string, string> = key === undefined ? {} : { authorization: `Bearer ${key}` }
    const call = jsonApi({ url: `${url}/api/v2`, headers, signal })
    return byRequest(auth0Requests(call, (mapping as Auth0Mapping).connection_id, signal), signal)
  },
}

/** The first pause between two looks at a job. Each further one is half as long again, up to the maximum. */
const POLL_MS = 100
const MAX_POLL_MS = 2_000

/** A job that takes longer is left to itself: the next run looks its users up. */
const JOB_MS = 600_000

const pathOf = (external: string) => `/users/${encodeURIComponent(external)}`
const externalOf = (userId: string) => `auth0|${userId}`

function auth0Requests(call: CallApi, connectionId: string, signal: AbortSignal): Requests<Auth0User> {
  return {
    async probe() {
      const { status } = await call({ method: 'GET', path: `/connections/${connectionId}` })
      if (status !== 200)
        throw new PeerError('refused', `mapping.connection_id: Auth0 has no connection ${connectionId}.`)
    },
    async find(users) {
      const found = new Map<string, string>()
      for (const { userId } of users) {
        const answer = await call({ method: 'GET', path: pathOf(externalOf(userId)) })
        if (answer.status === 200) found.set(userId, externalOf(userId))
        else if (!isAbsent(answer))
          throw new PeerError('refused', `Auth0 does not look users up (status ${answer.status}).`)
      }
      return found
    },
    async create(users) {
      const replies: Reply[] = []
      for (const part of partsOf(users)) replies.push(...(await inHalves(part, importPart)))
      return replies
    },
    change: (users) =>
      inTurn(users, async ({ userId, external, rendered }) => {
        const { email, email_verified, given_name, family_name, app_metadata, user_metadata } = rendered
        const names = { ...(given_name && { given_name }), ...(family_name && { family_name }) }
        const body = { email, email_verified, ...names, app_metadata, user_metadata }
        const answer = await call({ method: 'PATCH', path: pathOf(external), body })
        if (isAbsent(answer)) return { userId, external: null }
        return answer.status === 200
          ? { userId, external }
          : { userId, external, refusal: statusRefusal('Auth0', answer) }
      }),
    remove: (users) =>
      inTurn(users, async ({ userId, external }) => {
        const answer = await call({ method: 'DELETE', path: pathOf(external) })
        if (answer.status < 300 || isAbsent(answer)) return { userId, external: null }
        return { userId, external, refusal: statusRefusal('Auth0', answer) }
      }),
    close: () => Promise.resolve(),
  }

  /** Imports users by a job, and waits for its end. */
  async function importPart(users: Delivery<Auth0User>[]): Promise<Reply[] | Refusal> {
    const { FormData } = await import('undici')
    const form = new FormData()
    const file = JSON.stringify(users.map(({ rendered }) => rendered))
    form.set('users', new Blob([file], { type: 'application/json' }), 'users.json')
    form.set('connection_id', connectionId)
    form.set('upsert', 'false')
    form.set('send_completion_email', 'false') // true by default
    const answer = await call({ method: 'POST', path: '/jobs/users-imports', form })
    const { id } = membersOf(answer.json)
    if (answer.status >= 300 || typeof id !== 'string') return statusRefusal('Auth0', answer)
    await untilEnded(id)
    const errors = await errorsOf(id)
    return users.map(({ userId, rendered }) => {
      const codes = errors.get(rendered.user_id) ?? errors.get(rendered.email)
      if (!codes) return { userId, external: externalOf(userId) }
      const isTaken = codes.some((code) => code === 'DUPLICATED_USER' || code.startsWith('CONFLICT_'))
      return { userId, external: null, refusal: statusRefusal('Auth0', { status: isTaken ? 409 : 400 }) }
    })
  }

  async function untilEnded(id: string): Promise<void> {
    let pauseMs = POLL_MS
    for (const deadline = Date.now() + JOB_MS; ; pauseMs = Math.min(pauseMs * 1.5, MAX_POLL_MS)) {
      const { json } = await call({ method: 'GET', path: `/jobs/${encodeURIComponent(id)}` })
      const { status } = membersOf(json)
      if (status === 'completed') return
      if (status === 'failed') throw new PeerError('server_error', 'The import job of Auth0 failed.')
      if (Date.now() > deadline) throw new PeerError('timeout', 'The import job of Auth0 does not end.')
      await sleep(pauseMs, undefined, { signal }).catch(() => signal.throwIfAborted())
    }
  }

  /** The codes of what a job refused, by user_id or email. */
  async function errorsOf(id: string): Promise<Map<string, string[]>> {
    const { status, json } = await call({ method: 'GET', path: `/jobs/${encodeURIComponent(id)}/errors` })
    // Without the list, refused users would count as created.
    if (status >= 300)
      throw new PeerError('server_error', `Auth0 does not list the errors of a job (status ${status}).`)
    const found = new Map<string, string[]>()
    for (const each of Array.isArray(json) ? json : []) {
      const { user, errors } = membersOf(each)
      const { user_id: userId, email } = membersOf(user)
      const codes = Array.isArray(errors) ? errors.map((error) => String(membersOf(error)['code'])) : []
      for (const name of [userId, email]) if (typeof name === 'string') found.set(name, codes)
    }
    return found
  }
}

/** Splits users into files within the bounds of Auth0. */
function partsOf(users: Delivery<Auth0User>[]): Delivery<Auth0User>[][] {
  const parts: Delivery<Auth0User>[][] = []
  let bytes = Number.POSITIVE_INFINITY
  for (const user of users) {
    const size = Buffer.byteLength(JSON.stringify(user.rendered)) + 1
    const last = parts.at(-1)
    if (!last || bytes + size > auth0Format.part.bytes || last.length === auth0Format.part.users) {
      parts.push([user])
      bytes = size
    } else {
      last.push(user)
      bytes += size
    }
  }
  return parts
}
