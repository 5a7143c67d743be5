import type { Service } from '../http/service.ts'
import type { Samples } from './schema-value.ts'

/** What must never leak: keys, and the password of a batch unless the request includes credentials. */
export const SECRETS = {
  adminKey: 'admin-s3cret-of-32-characters-00001',
  readKey: 'reader-s3cret-of-32-characters-0002',
  writeKey: 'writer-s3cret-of-32-characters-0003',
  targetKey: 'target-s3cret-0004',
  encryptionKey: 'e9'.repeat(32),
}
export const PASSWORD = 'password-s3cret-0005'
/** Part of every user created before. It may be read, but must not be in an error or the log. */
export const USER_MARK = 'planted-user-0006'

export const API_KEYS = [
  `all=admin=${SECRETS.adminKey}`,
  `reader=users:read=${SECRETS.readKey}`,
  `writer=users:write=${SECRETS.writeKey}`,
].join(',')

/** Nothing listens there, and no packet leaves the machine. */
const NOWHERE = ['http://127.0.0.1:9', 'http://[::1]:9/under', 'https://127.0.0.1:9']

/** Existing data that requests can refer to. */
export interface Known {
  samples: Samples
  /** Values of path parameters, which differ by route, by the second part of the path. */
  paths: Record<string, readonly string[]>
  /** Bodies for an import or a replica. */
  exports: readonly string[]
  /** Bodies for an import, in each format. */
  imports: readonly { type: string; text: string }[]
  /** Different listings, with the cursor of their second page. */
  listings: readonly { path: string; query: string; cursor: string }[]
}

const nested = (depth: number): unknown[] => JSON.parse(`${'['.repeat(depth)}${']'.repeat(depth)}`)

const POOLS = ['default', 'fuzz', 'fuzz-copy']

const LISTINGS = [
  'users',
  'users?sort=-email',
  'users?bulk_users_only=true',
  'users?pool=fuzz',
  'batches',
  'batches?pool=fuzz',
  'templates',
  'templates?pool=fuzz',
  'pools',
  'targets',
  'sync/runs',
  'audit',
  'audit?pool=fuzz',
  'lifecycle/candidates?age_days=0',
]

/** Creates the data, whatever earlier requests have done to it, and returns the names. */
export async function createData({ call }: Service, round: number): Promise<Known> {
  const ask = async <Json = Record<string, string>>(method: string, path: string, body?: object) => {
    const headers = { authorization: `Bearer ${SECRETS.adminKey}`, prefer: 'wait=2' }
    return await call<Json>(method, path, { headers, ...(body && { body }) })
  }
  for (const name of POOLS) {
    await ask('POST', '/v1/pools', { name })
    await ask('PATCH', `/v1/pools/${name}`, { replica: name === 'fuzz-copy' ? 'everything' : 'none' })
  }
  const batches = []
  for (const pool of ['default', 'fuzz']) {
    const custom_attributes = { mark: USER_MARK }
    const config = { password: PASSWORD, custom_attributes, password_hash: { algorithm: 'none' } }
    batches.push((await ask('POST', '/v1/batches', { pool, count: 5, config })).json.id ?? '')
    const target = { pool, name: 'nowhere', url: NOWHERE[0], key: SECRETS.targetKey }
    await ask('POST', '/v1/targets', target)
    await ask('POST', '/v1/templates', { pool, name: 'mine', config: { role: USER_MARK } })
  }
  const run = await ask('POST', '/v1/sync', { target: 'nowhere' })
  const { json: users } = await ask<{ items: { id: string }[] }>('GET', '/v1/users?limit=4')
  const { json: present } = await ask('GET', '/v1/states/current?test_users_only=false')
  const state = present.state ?? ''
  const listings = []
  for (const listing of LISTINGS) {
    const [path = '', query = ''] = `/v1/${listing}`.split('?')
    const { json } = await ask('GET', `${path}?limit=1&${query}`)
    if (json.next_cursor) listings.push({ path, query: `limit=1&${query}`, cursor: json.next_cursor })
  }
  const exports = []
  for (const query of ['pool=fuzz', `base=${state}`, `test_users_only=false&base=${state}`, 'include=password']) {
    exports.push((await ask('GET', `/v1/users/export?format=ndjson&${query}`)).raw.toString())
  }
  const imports = []
  for (const [type, format] of Object.entries({
    'application/json': 'json',
    'application/x-ndjson': 'ndjson',
    'text/csv': 'csv',
  })) {
    const { raw } = await ask('GET', `/v1/users/export?format=${format}`)
    imports.push({ type, text: raw.toString() })
  }
  const names = { pools: POOLS, targets: ['nowhere', `t${round}`], templates: ['mine', 'default', `t${round}`] }
  return {
    samples: {
      pool: [...POOLS, 'default', 'fuzz'],
      remote_pool: POOLS,
      batch_id: batches,
      cursor: listings.map(({ cursor }) => cursor),
      base: [state, `u1-${'0'.repeat(64)}`, `u1-${'f'.repeat(64)}`],
      target: names.targets,
      name: [...new Set(Object.values(names).flat())],
      template: names.templates,
      url: NOWHERE,
      key: [SECRETS.targetKey, null],
      password: [PASSWORD],
      sort: ['created_at', '-created_at,username', 'email', '-username', 'id'],
      shard: ['0/1', '1/4', '4/4', '0/0', '9999/9999'],
      username_pattern: ['fuzz_{id}@example.com', '{batch}-{n}', 'one', 'fuzz_{id}'],
      email_domain: ['example.com', 'a.test', 'gmail.com'],
      email: [`e${round}@example.com`, 'e@example.com', 'e@real.com'],
      distinct: [1, 2, 50, 2 ** 40],
      custom_attributes: [{ a: 1 }, { a: '\ud800' }, { '\0': 1 }, { a: nested(90) }, { a: nested(150) }],
      age_days: [0, 0.001, 36_500],
    },
    paths: {
      ...names,
      batches: [...batches, batches[0]?.toUpperCase() ?? ''],
      users: users.items.map(({ id }) => id),
      sync: [run.json.id ?? ''],
    },
    exports,
    imports,
    listings,
  }
}
