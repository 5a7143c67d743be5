import { gunzipSync } from 'node:zlib'
import type { Test } from 'tap'
import type { Batch } from '../../src/batches/batches.ts'
import { as, WITH_KEYS } from '../http/keys.ts'
import { sharedService } from '../http/shared-service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()

/* Files for systems under test, over HTTP. What they contain is tested in test/systems/. */

const { call, sql, url } = await sharedService(t, { ...WITH_KEYS, EXPORT_CONCURRENCY: '1' })

const get = (path: string, headers: Record<string, string> = {}) =>
  call<{ code: string; detail: string; errors: { path: string; code: string }[] }>('GET', path, {
    headers: { ...as('logins'), ...headers },
  })
const file = (query: string) => `/v1/users/export?${query}`

async function make(count: number, config: object): Promise<string> {
  const headers = { ...as('maker'), prefer: 'wait=60' }
  const { status, json } = await call<Batch>('POST', '/v1/batches', { body: { count, config }, headers })
  if (status !== 201) throw new Error(`${status} ${JSON.stringify(json)}`)
  return json.id
}

/** The bodies of all parts, from the first to the last, as texts. */
async function partsOf(path: string): Promise<string[]> {
  const texts: string[] = []
  for (let next: string | undefined = path; next !== undefined; ) {
    const { status, headers, raw } = await get(next)
    if (status !== 200) throw new Error(`${status} ${raw}`)
    texts.push(raw.toString())
    next = /^<(.*)>; rel="next"$/.exec(String(headers['link']))?.[1]
  }
  return texts
}

const idsOf = async (filter: string): Promise<string[]> =>
  (await sql<{ id: string }[]>`select id from users where batch_id = ${filter} order by id`).map(({ id }) => id)

const ARGON2ID = { password_hash: { algorithm: 'argon2id', memory_kib: 64 } }
const BCRYPT = { password_hash: { algorithm: 'bcrypt', cost: 4 } }
const NONE = { password_hash: { algorithm: 'none' } }

interface KeycloakFile {
  users: { attributes: { usersync_id: [string] } }[]
}
const keycloakIds = (text: string) =>
  (JSON.parse(text) as KeycloakFile).users.map(({ attributes }) => attributes.usersync_id[0])

for (const count of sized([1, 500, 1_001], [1, 499, 500, 501, 1_001])) {
  t.test(`${count} users are all in the parts of at most 500, in order, none twice`, async (t) => {
    const batch = await make(count, ARGON2ID)
    const parts = (await partsOf(file(`format=keycloak&batch_id=${batch}`))).map(keycloakIds)
    t.strictSame(parts.flat(), await idsOf(batch))
    const sizes = Array.from({ length: Math.ceil(count / 500) }, (_, n) => Math.min(500, count - 500 * n))
    t.strictSame(
      parts.map(({ length }) => length),
      sizes,
    )
    const shards = await Promise.all(
      ['0/2', '1/2'].map((shard) => partsOf(file(`format=keycloak&batch_id=${batch}&shard=${shard}`))),
    )
    t.strictSame(shards.flat().flatMap(keycloakIds).toSorted(), parts.flat().toSorted(), 'shards')
  })
}

t.test('a file without users is complete', async (t) => {
  await sql`insert into pools (name) values ('empty')`
  t.strictSame((await get(file('format=keycloak&pool=empty'))).json, { ifResourceExists: 'SKIP', users: [] })
  t.strictSame((await get(file('format=firebase&pool=empty'))).json, { users: [] })
  t.equal((await get(file('format=django&pool=empty'))).raw.toString(), '')
  t.match((await get(file('format=cognito&pool=empty'))).raw.toString(), /^cognito:username,.*\n$/)
})

t.test('parts of Auth0 have at most 400,000 bytes, and every user', async (t) => {
  const batch = await make(300, { ...BCRYPT, custom_attributes: { pad: 'é'.repeat(2_500) } })
  const parts = await partsOf(file(`format=auth0&batch_id=${batch}`))
  const users = parts.map((text) => JSON.parse(text) as { user_id: string }[])
  t.strictSame(
    users.flat().map(({ user_id }) => user_id),
    await idsOf(batch),
  )
  t.ok(parts.length > 2)
  for (const part of parts.slice(0, -1)) t.ok(Buffer.byteLength(part) > 390_000 && Buffer.byteLength(part) <= 400_000)
})

t.test('a part of Firebase ends where the hash settings change', async (t) => {
  await sql`insert into pools (name) values ('mixed')`
  const scrypt = (p: number) => ({ password_hash: { algorithm: 'scrypt', n: 64, p } })
  for (const config of [BCRYPT, scrypt(1), scrypt(2)])
    await call('POST', '/v1/batches', {
      body: { pool: 'mixed', count: 3, config },
      headers: { ...as('maker'), prefer: 'wait=60' },
    })
  const parts = (await partsOf(file('format=firebase&pool=mixed'))).map((text) => JSON.parse(text))
  const heads = parts.map(({ users, ...head }) => [users.length, head.hashAlgorithm, head.parallelization])
  t.strictSame(heads.toSorted(), [
    [3, 'BCRYPT', undefined],
    [3, 'STANDARD_SCRYPT', 1],
    [3, 'STANDARD_SCRYPT', 2],
  ])
})

t.test('a part continues after the last user of the part before, whatever was written meanwhile', async (t) => {
  const batch = await make(1_200, ARGON2ID)
  const ids = await idsOf(batch)
  const first = await get(file(`format=keycloak&batch_id=${batch}`))
  await sql`delete from users where id = any(${[...ids.slice(400, 450), ...ids.slice(600, 650)]}::uuid[])`
  const next = /<(.*)>/.exec(String(first.headers['link']))?.[1] ?? ''
  const rest = (await partsOf(next)).flatMap(keycloakIds)
  t.strictSame(rest, [...ids.slice(500, 600), ...ids.slice(650)])
  const second = await get(next)
  t.not(second.headers['usersync-state'], first.headers['usersync-state'], 'the states differ')
})

t.test('users that the system does not take are reported before the first byte', async (t) => {
  const batch = await make(501, BCRYPT)
  const [id] = await idsOf(batch)
  const refused = await get(file(`format=keycloak&batch_id=${batch}`))
  t.match(refused, {
    status: 422,
    headers: { 'content-type': /problem\+json/, link: undefined },
    json: {
      code: 'users_not_importable',
      detail: `500 of the 500 users of this part cannot be written. The first one is users.${id}: Keycloak takes argon2id and pbkdf2_sha256, and the user’s hash is bcrypt. Create users with "password_hash": {"preset": "keycloak"} for it.`,
      errors: Array.from({ length: 20 }, () => ({ path: /^users\./, code: 'hash_unsupported' })),
    },
  })
  t.equal((await call('HEAD', file(`format=keycloak&batch_id=${batch}`), { headers: as('logins') })).status, 422)
  const none = await make(3, NONE)
  for (const format of ['keycloak', 'ldif', 'okta', 'django', 'better-auth'])
    t.match(await get(file(`format=${format}&batch_id=${none}`)), {
      status: 422,
      json: { errors: [{ code: 'credential_missing' }, {}, {}] },
    })
})

t.test('logins need credentials:read, and Cognito’s file has none', async (t) => {
  const batch = await make(3, BCRYPT)
  const read = (format: string) => get(file(`format=${format}&batch_id=${batch}`), as('reader'))
  for (const format of 'keycloak kratos fusionauth auth0 supertokens firebase okta ldif django better-auth'.split(' '))
    t.match(await read(format), {
      status: 403,
      json: { code: 'forbidden', detail: new RegExp(`format=${format}.*credentials:read`) },
    })
  const { status, raw, headers } = await read('cognito')
  t.match({ status, headers }, { status: 200, headers: { 'content-type': 'text/csv; charset=utf-8' } })
  t.equal(raw.toString().trimEnd().split('\n').length, 4)
  t.notMatch(raw.toString(), /\$2b/)
})

t.test('the headers are those of a full export, and 304 is answered for the present state', async (t) => {
  const batch = await make(3, ARGON2ID)
  const path = file(`format=kratos&batch_id=${batch}`)
  const { headers } = await get(path)
  const state = String(headers['usersync-state'])
  t.match(headers, {
    ...{ etag: `W/"${state}"`, 'usersync-kind': 'full', 'usersync-base': 'none', 'cache-control': 'private, no-cache' },
    ...{ vary: /authorization/i, 'content-type': 'application/json; charset=utf-8', 'usersync-pool-created': /^20/ },
  })
  const head = await call('HEAD', path, { headers: as('logins') })
  t.match(head, { status: 200, headers: { etag: headers['etag'], 'content-type': headers['content-type'] } })
  t.equal(head.raw.length, 0)
  t.match(await get(path, { 'if-none-match': `W/"${state}"` }), { status: 304 })
  t.match(await get(`${path}&differential=false`, { 'if-none-match': `W/"${state}"` }), { status: 200 })
})

for (const format of ['keycloak', 'django', 'cognito', 'ldif', 'better-auth']) {
  t.test(`${format} is compressed as requested`, async (t) => {
    const config = format === 'better-auth' ? { password_hash: { algorithm: 'better_auth' } } : ARGON2ID
    const path = file(`format=${format}&batch_id=${await make(40, config)}`)
    const { headers, raw } = await get(path, { 'accept-encoding': 'gzip' })
    t.equal(headers['content-encoding'], 'gzip')
    t.equal(gunzipSync(raw).toString(), (await get(path)).raw.toString())
  })
}

t.test('parameters that do not go with the format are refused by name', async (t) => {
  const refused = async (t: Test, query: string, path: string) =>
    t.match(await get(file(query)), { status: 400, json: { code: 'invalid_request', errors: [{ path }] } }, query)
  const base = `u1-${'0'.repeat(64)}`
  await refused(t, `format=keycloak&base=${base}`, 'querystring.base')
  await refused(t, 'format=keycloak&include=password_hash', 'querystring.include')
  await refused(t, 'format=keycloak&base_dn=dc%3Dorg', 'querystring.base_dn')
  await refused(t, 'format=ndjson&base_dn=dc%3Dorg', 'querystring.base_dn')
  await refused(t, 'part=x', 'querystring.part')
  for (const dn of ['', 'x', 'dc=', 'dc=org,', 'dc=a\nb', 'dc=a"', 'dc=a,,dc=b', 'dc=a\\'])
    await refused(t, `format=ldif&base_dn=${encodeURIComponent(dn)}`, 'querystring.base_dn')
})

t.test('a part that was not given out for this file is refused', async (t) => {
  const batch = await make(501, ARGON2ID)
  const { headers } = await get(file(`format=keycloak&batch_id=${batch}`))
  const part = /part=([^&>]*)/.exec(String(headers['link']))?.[1] ?? ''
  t.match(await get(file(`format=keycloak&batch_id=${batch}&part=${part}`)), { status: 200 })
  for (const query of [
    `batch_id=${batch}&format=kratos`,
    'format=keycloak',
    `format=keycloak&batch_id=${batch}&shard=0/2`,
  ])
    t.match(await get(file(`${query}&part=${part}`)), { status: 400, json: { code: 'cursor_invalid' } }, query)
  for (const forged of ['2', 'x', part.slice(1), `${part}A`])
    t.match(await get(file(`format=keycloak&batch_id=${batch}&part=${forged}`)), { json: { code: 'cursor_invalid' } })
})

t.test('LDIF has the base that was requested, and numbers keep their digits', async (t) => {
  const batch = await make(2, ARGON2ID)
  const dn = 'ou=test\\, users,o=Bücher'
  const { raw } = await get(file(`format=ldif&batch_id=${batch}&base_dn=${encodeURIComponent(dn)}`))
  for (const [, encoded = ''] of raw.toString().matchAll(/^dn:: (.*)$/gm))
    t.ok(Buffer.from(encoded, 'base64').toString().endsWith(`,${dn}`))
  t.equal(raw.toString().match(/^dn:: /gm)?.length, 2)
  await sql`
    update users set custom_attributes = '{"big": 12345678901234567890, "small": 0.1234567890123456789}'
    where batch_id = ${batch}`
  for (const format of ['kratos', 'keycloak'])
    t.match(
      (await get(file(`format=${format}&batch_id=${batch}`))).raw.toString(),
      /\b12345678901234567890\b.*\b0\.1234567890123456789\b/,
    )
})

t.test('clients that disconnect, and refused parts, give their place back', async (t) => {
  const batch = await make(2_000, NONE)
  const of = (format: string) => file(`format=${format}&batch_id=${batch}`)
  for (let round = 0; round < sized(1, 3); round++) {
    for (const afterMs of [5, 60]) {
      const left = AbortSignal.timeout(afterMs)
      await fetch(url + of('cognito'), { signal: left, headers: as('logins') })
        .then((answer) => answer.text())
        .catch(() => {})
    }
    t.equal((await get(of('keycloak'))).status, 422)
    t.equal((await call('HEAD', of('cognito'), { headers: as('logins') })).status, 200)
  }
  t.equal((await get(of('cognito'))).status, 200)
})
