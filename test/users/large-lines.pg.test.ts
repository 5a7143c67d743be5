import { sharedService } from '../http/shared-service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()

/* Users of a megabyte each. A page contains as many as fit, and the pages together contain all of them. */

const { sql, call } = await sharedService(t)
const MEGABYTE = 1_000_000
const USERS = sized(6, 20)

interface Page {
  items: { username: string }[]
  next_cursor: string | null
}

const readPage = (query: string) => call<Page>('GET', `/v1/users?${query}`)

t.test('a page ends after about 2 MiB, whatever its limit, and the next one continues there', async (t) => {
  await sql`
    insert into users (username, email, custom_attributes)
    select 'user' || n, 'user' || n || '@example.com', jsonb_build_object('x', repeat('a', ${MEGABYTE}::int))
    from generate_series(1, ${USERS}::int) n`
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
