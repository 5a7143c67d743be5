import fc from 'fast-check'
import { SUPPORTED_SORTS } from '../../src/users/sort.ts'
import { anyCharacter } from '../any-character.ts'
import { resolveReferences } from '../http/resolve-references.ts'
import { sharedService } from '../http/shared-service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { type ListedUser, listAll, type Page, pagesOf } from './all-pages.ts'

const t = suite()

/* The sorted listing of users, over HTTP. */

const { sql, call } = await sharedService(t)

let pools = 0
/** Creates an empty pool, and returns its id and name. */
async function makePool() {
  const name = `pool${++pools}`
  const [row] = await sql<{ id: number }[]>`insert into pools (name) values (${name}) returning id`
  return { poolId: row?.id ?? 0, pool: name }
}

interface Person {
  id: string
  username: string
  email: string
  /** Since the start of the year. */
  microseconds: number
}

const timeOf = (microseconds: number) => `2024-01-01T00:00:${(microseconds / 1e6).toFixed(6).padStart(9, '0')}Z`

async function insert(poolId: number, people: Person[]) {
  if (people.length === 0) return
  const rows = people.map(({ microseconds, ...person }) => ({
    ...person,
    pool_id: poolId,
    created_at: timeOf(microseconds),
  }))
  await sql`insert into users ${sql(rows)}`
}

/** Compares texts as collation "C" does. */
const byBytes = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b))

const compareBy: Record<string, (a: Person, b: Person) => number> = {
  id: (a, b) => byBytes(a.id, b.id),
  username: (a, b) => byBytes(a.username, b.username),
  email: (a, b) => byBytes(a.email, b.email),
  created_at: (a, b) => a.microseconds - b.microseconds,
}

/** The ids in the order of `sort`, without code of the service. */
function sorted(people: Person[], sort: string): string[] {
  const full = sort.endsWith('created_at') ? `${sort},${sort.startsWith('-') ? '' : '-'}username` : sort
  const keys = full.split(',').map((key) => {
    const compare = compareBy[key.replace('-', '')] as (a: Person, b: Person) => number
    return (a: Person, b: Person) => (key.startsWith('-') ? compare(b, a) : compare(a, b))
  })
  const compare = (a: Person, b: Person) => keys.reduce((order, key) => order || key(a, b), 0)
  return people.toSorted(compare).map(({ id }) => id)
}

// UTF-16 sorts the supplementary planes between U+D7FF and U+E000; UTF-8 sorts them last.
const character = fc.constantFrom(...'azAZ09~"\\ \u0001é\u07ff\ud7ff\ue000\uffff', '😀', '\u{10000}', '\u{10ffff}')
const name = fc
  .oneof(fc.string({ unit: character, minLength: 1, maxLength: 4 }), fc.string({ unit: anyCharacter, minLength: 1 }))
  .filter((name) => !name.includes('\u0000'))
const person = fc.record({
  id: fc.uuid(),
  username: name,
  email: name,
  microseconds: fc.oneof(fc.constantFrom(0, 1, 999_999, 1_000_000), fc.nat(3)),
})
const crowd = fc
  .uniqueArray(person, { selector: ({ id }) => id, maxLength: 30, size: 'max' })
  .map((people) => [...new Map(people.map((each) => [each.username, each])).values()])
  .map((people) => [...new Map(people.map((each) => [each.email, each])).values()])

t.test('the pages together are the whole list in order, whatever the sort and page size', async () => {
  await fc.assert(
    fc.asyncProperty(crowd, fc.array(fc.integer({ min: 2, max: 15 }), { minLength: 1 }), async (people, limits) => {
      const { poolId, pool } = await makePool()
      await insert(poolId, people)
      for (const [i, sort] of SUPPORTED_SORTS.entries()) {
        const listed = await listAll(call, `pool=${pool}&sort=${sort}&limit=${limits[i % limits.length]}`)
        const ids = listed.map(({ id }) => id)
        if (String(ids) !== String(sorted(people, sort))) throw new Error(`${sort} gave ${ids}`)
      }
    }),
    { numRuns: sized(5, 12), endOnFailure: true }, // each run is some hundred requests
  )
})

t.test('a batch is listed correctly in each sort, whatever its size', async (t) => {
  const { poolId, pool } = await makePool()
  const count = sized(120, 300)
  const people = Array.from({ length: count }, (_, n) => ({
    id: `01890000-0000-7000-8000-${String((n * 7919) % count).padStart(12, '0')}`,
    username: `${(n * 101) % count}`,
    email: `${(n * 211) % count}`,
    microseconds: n % 3,
  }))
  await insert(poolId, people)
  const batch = '01890000-0000-7000-8000-00000000000b'
  const isOf = (size: number) => (person: Person) => Number(person.username) < size
  for (const size of [0, 40, count]) {
    const members = people.filter(isOf(size))
    await sql`update users set batch_id = ${batch} where pool_id = ${poolId} and username = any(${members.map((each) => each.username)})`
    // This count decides how it is read.
    for (const counted of [size, 10_001]) {
      await sql`update scopes set user_count = ${counted} where pool_id = ${poolId} and batch_id = ${batch}`
      for (const sort of SUPPORTED_SORTS) {
        const listed = await listAll(call, `pool=${pool}&sort=${sort}&batch_id=${batch}&limit=${sized(37, 17)}`)
        t.strictSame(
          listed.map(({ id }) => id),
          sorted(members, sort),
          `${sort}, ${size} of ${count}, as ${counted}`,
        )
      }
    }
  }
})

t.test('changes between two pages neither hide nor duplicate other users', async (t) => {
  const { poolId, pool } = await makePool()
  const count = sized(1_500, 6_000)
  // One transaction creates a chunk with the same time, so there are long ties.
  await sql`
    insert into users (pool_id, username, email, created_at)
    select ${poolId}, 'u' || md5(n::text), n || '@example.com', timestamptz '2024-01-01' + n / ${(count * 5) / 6}::int * interval '1 microsecond'
    from generate_series(1, ${count}::int) n`
  const before = await sql<ListedUser[]>`select id, username from users where pool_id = ${poolId} order by random()`
  for (const sort of ['created_at,-username', '-created_at,username', 'username', '-email', 'id']) {
    const seen: string[] = []
    const touched = new Set<string>()
    let turn = 0
    for await (const items of pagesOf(call, `pool=${pool}&sort=${sort}&limit=${count / 12 + 1}`)) {
      seen.push(...items.map(({ id }) => id))
      const [renamed, moved, deleted] = before.splice(0, 3)
      const last = items.at(-1)?.id ?? ''
      for (const each of [renamed, moved, deleted]) touched.add(each?.id ?? '')
      touched.add(last) // where the next page starts
      await sql`update users set username = ${`a renamed ${sort} ${++turn}`} where pool_id = ${poolId} and id = ${renamed?.id ?? ''}`
      await sql`update users set created_at = now(), email = ${`${sort} ${turn}`} where pool_id = ${poolId} and id = ${moved?.id ?? ''}`
      await sql`delete from users where pool_id = ${poolId} and id in (${deleted?.id ?? ''}, ${last})`
      await sql`
        insert into users (pool_id, username, email, created_at)
        select ${poolId}, 'u' || md5(random()::text), gen_random_uuid(), timestamptz '2024-01-01' from generate_series(1, 3)`
    }
    const untouched = await sql<{ id: string }[]>`
      select id from users where pool_id = ${poolId} and id <> all(${[...touched]}::uuid[]) and id = any(${seen}::uuid[])`
    const times = Map.groupBy(seen, (id) => id)
    t.notOk(
      untouched.find(({ id }) => times.get(id)?.length !== 1),
      `${sort}: no user twice`,
    )
    const left = await sql<{ count: number }[]>`
      select count(*)::int as count from users
      where pool_id = ${poolId} and username like 'u%' and id = any(${before.map(({ id }) => id)}::uuid[])
        and id <> all(${[...touched, ...seen]}::uuid[])`
    t.equal(left[0]?.count, 0, `${sort}: no user missing`)
  }
})

t.test('a sort without an index is rejected, and the supported ones are listed', async (t) => {
  for (const sort of ['', 'role', 'created_at,username', 'id,id', '%00', 'a'.repeat(5_000)]) {
    const answer = await call<{ errors: { message: string }[] }>('GET', `/v1/users?sort=${sort}`)
    const errors = [{ path: 'querystring.sort' }]
    t.match(answer, { status: 400, json: { code: 'invalid_request', errors } }, sort.slice(0, 30))
  }
  t.match(await call('GET', '/v1/users?sort=username&sort=id'), { status: 400, json: { code: 'invalid_request' } })
  t.match(await call('GET', '/v1/users?sort=created_at,username'), {
    json: { errors: [{ code: 'unsupported_sort', message: /created_at,-username \| -created_at,username/ }] },
  })
})

t.test('a cursor belongs to its sort and cannot be forged', async (t) => {
  const { poolId, pool } = await makePool()
  const people = Array.from({ length: 9 }, (_, n) => ({
    id: `01890000-0000-7000-8000-00000000000${n}`,
    username: `${'\u{10ffff}'.repeat(253)}${n}`, // the longest possible cursor
    email: `${'\u0001'.repeat(253)}${n}`,
    microseconds: n,
  }))
  await insert(poolId, people)
  const refused = { status: 400, json: { code: 'cursor_invalid' } }
  const cursorOf = async (sort: string) =>
    (await call<Page>('GET', `/v1/users?pool=${pool}&sort=${sort}&limit=1`)).json.next_cursor
  const cursor = await cursorOf('created_at')
  for (const sort of SUPPORTED_SORTS) {
    const own = await cursorOf(sort)
    t.equal((await call('GET', `/v1/users?pool=${pool}&sort=${sort}&cursor=${own}`)).status, 200, sort)
    const other = await call('GET', `/v1/users?pool=${pool}&sort=${sort}&cursor=${cursor}`)
    t.match(other, sort.startsWith('created_at') ? { status: 200 } : refused, `${sort}, with a cursor of created_at`)
  }
  const signed = Buffer.from(cursor ?? '', 'base64url')
  const key = signed.subarray(16).toString()
  t.match(key, /^\{"created_at":"2024-01-01T00:00:00.000000Z","username":/)
  const forged = {
    'another key': Buffer.concat([signed.subarray(0, 16), Buffer.from(key.replace('2024', '2023'))]),
    'no time at all': Buffer.concat([signed.subarray(0, 16), Buffer.from(key.replace('2024', 'x'))]),
    'no signature': Buffer.from(key),
    'another signature': Buffer.concat([Buffer.alloc(16), Buffer.from(key)]),
    'a null byte': Buffer.concat([signed, Buffer.from([0])]),
  }
  for (const [what, bytes] of Object.entries(forged)) {
    const path = `/v1/users?pool=${pool}&sort=created_at&cursor=${bytes.toString('base64url')}`
    t.match(await call('GET', path), refused, what)
  }
  t.match(await call('GET', `/v1/users?cursor=${'A'.repeat(12_000)}`), refused, 'a huge one')
  for (const path of ['pools', 'templates', 'batches', `batches/${people[0]?.id}/failures`, 'users']) {
    t.match(await call('GET', `/v1/${path}?cursor=${cursor}`), refused, `of another listing, at ${path}`)
  }
})

t.test('the OpenAPI description lists the sorts', async (t) => {
  interface Description {
    paths: Record<string, Record<string, { parameters: { name: string; description?: string }[] }>>
  }
  const { json } = await call<Description>('GET', '/openapi.json')
  const sort = resolveReferences(json).paths['/v1/users']?.['get']?.parameters.find(({ name }) => name === 'sort')
  for (const name of SUPPORTED_SORTS) t.ok(sort?.description?.includes(name), name)
})
