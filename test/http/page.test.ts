import { randomBytes } from 'node:crypto'
import { createCursors, makePage } from '../../src/http/pagination.ts'
import { suite } from '../suite.ts'

const t = suite()

const cursors = createCursors(randomBytes(32))

t.test('a page contains its rows and the link to the next page', (t) => {
  const page = (url: string, rows: string[], hasMore: boolean) => {
    let link: string | undefined
    const reply = { header: (_name: string, value: string) => (link = value) } as never
    const context = { request: { url } as never, reply, cursors, listing: 'a' }
    const { items, next_cursor } = makePage(context, { rows, hasMore }, (row) => row)
    return { items, next: next_cursor && cursors.decode('a', next_cursor), link }
  }
  t.strictSame(
    page('/v1/users', ['x', 'y'], false),
    { items: ['x', 'y'], next: null, link: undefined },
    'the last page',
  )
  t.match(page('/v1/users?limit=2&pool=a', ['x', 'y'], true), {
    items: ['x', 'y'],
    next: 'y',
    link: /^<\/v1\/users\?limit=2&pool=a&cursor=[\w-]+>; rel="next"$/,
  })
  t.match(page('/v1/users?cursor=old', ['x', 'y'], true).link, /^<\/v1\/users\?cursor=(?!old)[\w-]+>; rel="next"$/)
  t.notMatch(page('//evil.example/v1/users', ['x', 'y'], true).link, /evil/)
  t.end()
})
