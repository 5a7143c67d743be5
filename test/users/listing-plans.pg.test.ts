import type { Row } from 'postgres'
import type { Test } from 'tap'
import { connect } from '../../src/database/connection.ts'
import { readInIndexOrder } from '../../src/database/index-order.ts'
import { type Filter, selects, userLine } from '../../src/states/filter.ts'
import { choosePageQuery, listUserLines, type UserPage } from '../../src/users/list-users.ts'
import { markOf, readMark, readSort, type Sort } from '../../src/users/sort.ts'
import { testDatabase } from '../database.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()

/* The plans of PostgreSQL for the actual statements of pages at the start, in the middle and at the end of a pool. */

const USERS = sized(20_000, 60_000)
/** The users with the same `created_at`, as in a chunk. */
const CHUNK = USERS / 40
const LARGE_USERS = 0.75 * USERS
const SMALL_USERS = 1_000
const LIMIT = 101
const LAST = 50

const databaseUrl = await testDatabase()
const sql = connect({ url: databaseUrl, schema: 'usersync', connections: 1, name: 'test' })
t.teardown(() => sql.end({ timeout: 5 }))

const LARGE = '01890000-0000-7000-8000-00000000000a'
const SMALL = '01890000-0000-7000-8000-00000000000b'
/** The time of the chunk in the middle. */
const MIDDLE = '2030-01-01T00:00:00.000020Z'

// The statistics are from a time when the pool had 1,000 users, all created at once, so to the planner all times are
// equal. They are not renewed.
await sql`alter table users set (autovacuum_enabled = off)`
await sql`insert into pools (id, name) values (2, 'large')`
await sql`
  insert into users (pool_id, username, email, created_at)
  select 2, md5('first' || n), md5('first' || -n) || '@example.com', ${MIDDLE} from generate_series(1, 1000) n`
await sql`analyze users`
// Filled without capture, and indexed afterwards, which takes a quarter of the time. Of two indexes with the same cost
// the planner prefers one by age, so they are created in the order of the migrations.
await sql`alter table users disable trigger user`
await sql`select nextval('commit_ids')`
const indexes = await sql<{ name: string; definition: string }[]>`
  select indexrelid::regclass::text as name, pg_get_indexdef(indexrelid) as definition from pg_index
  where indrelid = 'users'::regclass and not indisprimary order by indexrelid`
for (const { name } of indexes) await sql`drop index ${sql(name)}`
await sql`
  insert into users (pool_id, username, email, batch_id, created_at)
  select 2, md5(n::text), md5(-n || '') || '@example.com',
    case when n <= ${LARGE_USERS}::int then ${LARGE}::uuid when n > ${USERS - SMALL_USERS}::int then ${SMALL}::uuid end,
    timestamptz '2030-01-01' + n / ${CHUNK}::int * interval '1 microsecond'
  from generate_series(1, ${USERS}::int) n`
for (const { definition } of indexes) await sql.unsafe(definition)
await sql`
  insert into scopes (pool_id, batch_id, test_users_only, bulk_users_only, version, user_count, word_0, word_1, word_2, word_3)
  values (2, ${LARGE}, false, false, 1, ${LARGE_USERS}, 0, 0, 0, 0), (2, ${SMALL}, false, false, 1, ${SMALL_USERS}, 0, 0, 0, 0)`

interface Node {
  'Node Type': string
  'Relation Name'?: string
  'Index Name'?: string
  'Actual Rows': number
  'Actual Loops': number
  'Rows Removed by Filter'?: number
  'Shared Hit Blocks': number
  'Shared Read Blocks': number
  Plans?: Node[]
}

/** Runs the page as the service does. Returns the nodes of the plan, starting at the root, with their counts. */
async function explain(page: UserPage): Promise<[Node, ...Node[]]> {
  const query = await choosePageQuery(sql, page)
  const [row] = await readInIndexOrder<Row>(
    sql,
    (sql) => sql`explain (analyze, buffers, timing off, format json) ${query(sql, page.limit)}`,
  )
  const withParts = (node: Node): Node[] => [node, ...(node.Plans ?? []).flatMap(withParts)]
  return withParts(row?.['QUERY PLAN'][0].Plan) as [Node, ...Node[]]
}

const rowsOf = (node: Node) => (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops']

/** The line of a user in the middle, in every sort order. */
async function lineInTheMiddle(filter: Filter): Promise<string> {
  const [row] = await sql<{ line: string }[]>`
    select ${userLine(sql, 'u')} as line from (
      select u.*, abs(row_number() over (order by u.id) - count(*) over () / 2) as distance
      from users u where ${selects(sql, filter, 'u')}
    ) u
    where u.username ~ '^[4-9ab]' and u.email ~ '^[4-9ab]'
    order by abs(extract(epoch from u.created_at - ${MIDDLE})), u.distance limit 1`
  return row?.line ?? ''
}

/** The line of the user that only 50 users follow. */
async function lineNearTheEnd(filter: Filter, sort: Sort): Promise<string> {
  const backwards = sort.keys.map(({ column, descending }) => `u.${column} ${descending ? 'asc' : 'desc'}`).join()
  const [row] = await readInIndexOrder(
    sql,
    (sql) => sql<{ line: string }[]>`
      select ${userLine(sql, 'u')} as line from users u
      where ${selects(sql, filter, 'u')} order by ${sql.unsafe(backwards)} offset ${LAST} limit 1`,
  )
  return row?.line ?? ''
}

interface Expected {
  index: string
  /** The number of rows in the page. */
  length: number
  /** The maximum of rows read or sorted, and of blocks read. */
  rows: number
  blocks: number
}

type Case = [title: string, page: UserPage, expected: Expected]

interface Listing {
  filter: Filter
  /** The line of a user in the middle. */
  middle: string
  limit?: number
  rows?: number
  blocks?: number
}

/** The first, a middle and the last page of a listing. By default each must have the lowest possible cost. */
async function casesOf(name: string, index: string, listing: Listing): Promise<Case[]> {
  const { filter, middle, limit = LIMIT, rows = limit, blocks = 2 * limit } = listing
  const sort = readSort(name)
  const title = `${limit} by ${name}, ${filter.batchId ?? 'pool'}`
  const page = { filter, sort, limit }
  const after = (line: string) => ({ ...page, after: readMark(markOf(sort, line)) })
  const expected = { index, length: limit, rows, blocks }
  return [
    [`${title}, start`, { ...page, after: undefined }, expected],
    [`${title}, middle`, after(middle), expected],
    [`${title}, end`, after(await lineNearTheEnd(filter, sort)), { ...expected, length: LAST }],
  ]
}

async function check(t: Test, [title, page, expected]: Case) {
  const nodes = await explain(page)
  const scans = nodes.filter((node) => 'Relation Name' in node)
  for (const scan of scans)
    t.equal(`${scan['Node Type']} of ${scan['Index Name']}`, `Index Scan of ${expected.index}`, title)
  const sorted = nodes.filter((node) => node['Node Type'].endsWith('Sort')).flatMap((node) => node.Plans ?? [])
  for (const node of [...scans, ...sorted]) t.ok(rowsOf(node) <= expected.rows, `${title}: ${rowsOf(node)} rows`)
  const blocks = nodes[0]['Shared Hit Blocks'] + nodes[0]['Shared Read Blocks']
  t.ok(blocks <= expected.blocks, `${title}: ${blocks} blocks`)
  t.equal(nodes[0]['Actual Rows'], expected.length, `${title}: the page is full`)
}

async function listingOf(batchId: string | undefined): Promise<Listing> {
  const filter = { poolId: 2, batchId, testUsersOnly: true, bulkUsersOnly: false }
  return { filter, middle: await lineInTheMiddle(filter) }
}

const whole = await listingOf(undefined)
const large = await listingOf(LARGE)
const small = await listingOf(SMALL)
// A small batch is read as a whole. Reading a large one skips a quarter of the pool: spread out by name, consecutive by
// time.
const readWhole = { ...small, rows: SMALL_USERS, blocks: 1.1 * SMALL_USERS }
const passedBy = USERS / 4 + SMALL_USERS
const cases = [
  ...(await casesOf('id', 'users_pool_id_id_pk', whole)),
  ...(await casesOf('-id', 'users_pool_id_id_pk', whole)),
  ...(await casesOf('username', 'users_username', whole)),
  ...(await casesOf('-username', 'users_username', whole)),
  ...(await casesOf('email', 'users_email', whole)),
  ...(await casesOf('-email', 'users_email', whole)),
  ...(await casesOf('username', 'users_username', { ...whole, limit: 1_001 })),
  ...(await casesOf('created_at', 'users_created', { ...whole, limit: 1_001 })),
  ...(await casesOf('created_at', 'users_created', whole)),
  ...(await casesOf('-created_at', 'users_created', whole)),
  ...(await casesOf('id', 'users_batch', large)),
  ...(await casesOf('-id', 'users_batch', large)),
  ...(await casesOf('username', 'users_username', { ...large, rows: 3 * LIMIT, blocks: 4 * LIMIT })),
  ...(await casesOf('created_at', 'users_created', { ...large, rows: passedBy + LIMIT, blocks: 2 * passedBy })),
  ...(await casesOf('id', 'users_batch', small)),
  ...(await casesOf('-id', 'users_batch', small)),
  ...(await casesOf('username', 'users_batch', readWhole)),
  ...(await casesOf('-email', 'users_batch', readWhole)),
  ...(await casesOf('created_at', 'users_batch', readWhole)),
  ...(await casesOf('-created_at', 'users_batch', readWhole)),
]

t.test('each page is read along its index from its start', async (t) => {
  for (const each of cases) await check(t, each)
})

t.test('each page is read along its index, with fresh statistics', async (t) => {
  await sql`analyze users`
  for (const each of cases) await check(t, each)
})

t.test('each page is read along its index, without statistics', async (t) => {
  await sql`delete from pg_statistic where starelid = 'users'::regclass`
  for (const each of cases) await check(t, each)
})

t.test('plans are made for the actual values, even if the server prefers generic plans', async (t) => {
  const other = connect({ url: databaseUrl, schema: 'usersync', connections: 1, name: 'test' })
  t.teardown(() => other.end({ timeout: 5 }))
  await other`set plan_cache_mode = force_generic_plan`
  const [, [, page]] = cases.filter(([title]) => title.startsWith(`${LIMIT} by created_at, pool`)) as [Case, Case]
  for (let i = 0; i < 10; i++) t.equal((await listUserLines(other, page)).rows.length, LIMIT)
  const kept = await other`
    select generic_plans::int as generic, custom_plans::int as custom
    from pg_prepared_statements where statement like ${'%user_line%'}`
  t.strictSame([...kept], [{ generic: 0, custom: 10 }])
})
