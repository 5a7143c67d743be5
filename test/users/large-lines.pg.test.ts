import { startService } from '../http/service.ts'
import { suite } from '../suite.ts'

const t = suite()

/* Users of a megabyte each: a page holds as many as fit, and the walk comes to all of them. */

const { sql, call } = await startService(t, { MAX_WORKERS: '1' })
const MEGABYTE = 1_000_000
const USERS = 20

interface Page {
  items: { username: string }[]
  next_cursor: string | null
}

const readPage = (query: string) => call<Page>('GET', `/v1/users?${query}`)

t.test('a page ends after some 2 MiB, whatever its limit, and the next one goes on from there', async (t) => {
  const custom_attributes = { x: 'a'.repeat(MEGABYTE) }
  const config = { custom_attributes, password_hash: { algorithm: 'none' }, chunk_size: 5 }
  const body = { count: USERS, config }
  t.match(await call('POST', '/v1/batches', { body, headers: { prefer: 'wait=60' } }), { status: 201 })
  const seen: string[] = []
  const sizes: number[] = []
  let cursor: string | null = ''
  do {
    const page = await readPage(`limit=1000&sort=-username${cursor && `&cursor=${cursor}`}`)
    seen.push(...page.json.items.map(({ username }) => username))
    sizes.push(page.raw.length)
    cursor = page.json.next_cursor
  } while (cursor)
  t.ok(
    sizes.every((size) => size < 2.1 * MEGABYTE),
    sizes.join(),
  )
  const rows = await sql<{ username: string }[]>`select username from users order by username desc`
  t.strictSame(
    seen,
    rows.map(({ username }) => username),
  )
  t.equal(seen.length, USERS)
})
