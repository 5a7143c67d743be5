import { randomUUID } from 'node:crypto'
import type { Test } from 'tap'
import { exactly, type FakeUser, isTaken, listOf, Refused, type Reply, startFake } from './fake-api.ts'

export const AUTH0_TOKEN = 'the-management-token'
export const CONNECTION = 'con_abc123'

interface Job {
  polls: number
  errors: unknown[]
}

/** Auth0's Management API, by auth0/docs-v2 bulk-user-imports.mdx and bulk-user-import-schema.mdx @03dc323. */
export async function startAuth0(t: Test) {
  const jobs = new Map<string, Job>()
  return await startFake(t, ({ method, path, headers, text = '' }, users): Reply => {
    if (headers.authorization !== `Bearer ${AUTH0_TOKEN}`) throw new Refused(401)
    if (path === `/api/v2/connections/${CONNECTION}`) return { status: 200, json: { id: CONNECTION } }
    if (path === '/api/v2/jobs/users-imports') {
      if ([...jobs.values()].filter(({ polls }) => polls === 0).length >= 2) throw new Refused(429)
      const fields = readMultipart(headers['content-type'] ?? '', text)
      const settings = [fields.get('connection_id'), fields.get('upsert'), fields.get('send_completion_email')]
      if (settings.join() !== `${CONNECTION},false,false`) throw new Refused(400)
      const file = fields.get('users') ?? ''
      if (Buffer.byteLength(file) > 500_000) throw new Refused(413)
      const id = `job_${randomUUID()}`
      jobs.set(id, { polls: 0, errors: listOf(JSON.parse(file)).flatMap((each) => importUser(each, users)) })
      return { status: 202, json: { id, type: 'users_import', status: 'pending' } }
    }
    const [, jobId = '', wanted] = /^\/api\/v2\/jobs\/(job_[^/]+)(\/errors)?$/.exec(path) ?? []
    const job = jobs.get(jobId)
    if (job && wanted) return job.errors.length > 0 ? { status: 200, json: job.errors } : { status: 204 }
    if (job) return { status: 200, json: { id: jobId, status: job.polls++ === 0 ? 'pending' : 'completed' } }
    const id = decodeURIComponent(/^\/api\/v2\/users\/(.+)$/.exec(path)?.[1] ?? '')
    const present = users.get(id)
    if (method === 'DELETE') {
      users.delete(id)
      return { status: 204 }
    }
    if (!present) return { status: 404, json: {} }
    if (method === 'GET') return { status: 200, json: { user_id: id } }
    if (method !== 'PATCH') throw new Refused(405)
    const allowed = ['email', 'email_verified', 'app_metadata', 'user_metadata']
    const { email, app_metadata } = exactly(JSON.parse(text), allowed, ['given_name', 'family_name'])
    if (isTaken(users, id, { email: String(email) })) throw new Refused(409)
    users.set(id, { ...present, email: String(email), role: (app_metadata as { role: string }).role })
    return { status: 200, json: { user_id: id } }
  })
}

/** Returns what the job's errors have for a user; empty if it was imported. */
function importUser(value: unknown, users: Map<string, FakeUser>): unknown[] {
  const members = ['user_id', 'email', 'email_verified', 'app_metadata', 'user_metadata']
  const user = exactly(value, members, ['given_name', 'family_name', 'password_hash', 'custom_password_hash'])
  const email = String(user['email'])
  const hash = hashOf(user)
  const refuse = (code: string) => [
    { user: { user_id: user['user_id'], email }, errors: [{ code, message: '', path: '' }] },
  ]
  if (hash === undefined) return refuse('FORMAT')
  if (isTaken(users, undefined, { email })) return refuse('DUPLICATED_USER')
  const id = `auth0|${user['user_id']}`
  const { role } = user['app_metadata'] as { role: string }
  users.set(id, { id, username: '', email, role, hash, mark: String(user['user_id']) })
  return []
}

/** A bcrypt hash of Auth0's own cost, or one of another cost as a custom hash. Undefined if Auth0 does not take it. */
function hashOf({ password_hash: own, custom_password_hash: custom }: Record<string, unknown>): string | undefined {
  if (custom === undefined) return /^\$2b\$10\$[\w./]{53}$/.test(String(own)) ? String(own) : undefined
  const { algorithm, hash } = exactly(custom, ['algorithm', 'hash'])
  const { value, encoding } = exactly(hash, ['value', 'encoding'])
  const isKnown = algorithm === 'bcrypt' && encoding === 'utf8' && /^\$2[aby]\$\d\d\$[\w./]{53}$/.test(String(value))
  return own === undefined && isKnown ? String(value) : undefined
}

function readMultipart(type: string, text: string): Map<string, string> {
  const [, boundary = ''] = /^multipart\/form-data; boundary=(.+)$/.exec(type) ?? []
  if (boundary === '') throw new Refused(400)
  const parts = text.split(`--${boundary}`).slice(1, -1)
  return new Map(
    parts.map((part) => {
      const [head = '', body = ''] = part.split(/\r\n\r\n([\s\S]*)\r\n$/)
      return [/ name="(\w+)"/.exec(head)?.[1] ?? '', body]
    }),
  )
}
