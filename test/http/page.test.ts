import fc from 'fast-check'
import t from 'tap'
import { Problem } from '../../src/errors.ts'
import { decodeCursor, encodeCursor, makePage } from '../../src/http/page.ts'

const ANY = /^/
const ID = /^[0-9a-f-]{36}$/

/** Whether a cursor is refused, by the error that it should be refused by. */
function isRefused(listing: string, cursor: string, keyPattern = ANY): boolean {
  try {
    decodeCursor(listing, cursor, keyPattern)
    return false
  } catch (error) {
    return error instanceof Problem && error.code === 'cursor_invalid'
  }
}

const text = fc.string({ unit: 'grapheme' })

t.test('a cursor leads back to where the page ended', (t) => {
  fc.assert(
    fc.property(text, text, (listing, last) => decodeCursor(listing, encodeCursor(listing, last), ANY) === last),
  )
  t.equal(decodeCursor('users', undefined, ID), undefined, 'the first page has none')
  t.end()
})

t.test('a cursor of another listing is refused', (t) => {
  fc.assert(
    fc.property(text, text, text, (listing, other, last) => {
      fc.pre(listing !== other)
      return isRefused(other, encodeCursor(listing, last))
    }),
  )
  t.end()
})

t.test('a cursor that was shortened, extended or changed is refused', (t) => {
  const listing = 'users {"poolId":1}'
  const cursor = encodeCursor(listing, '01890000-0000-7000-8000-000000000001')
  fc.assert(fc.property(fc.nat(cursor.length - 1), (length) => isRefused(listing, cursor.slice(0, length))))
  fc.assert(fc.property(fc.string({ minLength: 1 }), (tail) => isRefused(listing, cursor + tail)))
  fc.assert(
    fc.property(fc.nat(cursor.length - 1), fc.constantFrom(...'AZaz09-_+/= .'), (at, character) => {
      const changed = cursor.slice(0, at) + character + cursor.slice(at + 1)
      // What is not refused is another key of the same listing, which anybody may ask for.
      return isRefused(listing, changed, ID) || ID.test(decodeCursor(listing, changed, ID) ?? '')
    }),
  )
  t.end()
})

t.test('the same words in another encoding are refused', (t) => {
  const pair = JSON.stringify(['pools', '>>>???'])
  t.notOk(isRefused('pools', Buffer.from(pair).toString('base64url')))
  t.ok(isRefused('pools', Buffer.from(pair).toString('base64')), 'base64')
  t.ok(isRefused('pools', Buffer.from(pair).toString('hex')), 'hex')
  t.ok(isRefused('pools', pair), 'as it is')
  t.ok(isRefused('pools', Buffer.from(JSON.stringify(['pools', '>>>???'], null, 1)).toString('base64url')), 'spaces')
  for (const forged of [null, 1, 'x', {}, [], ['pools'], ['pools', 1], ['pools', 'a', 'b'], { 0: 'pools', 1: 'a' }]) {
    t.ok(isRefused('pools', Buffer.from(JSON.stringify(forged)).toString('base64url')), JSON.stringify(forged))
  }
  t.end()
})

t.test('a key that the listing could not have given is refused', (t) => {
  t.ok(isRefused('users', encodeCursor('users', `' or 1=1 --`), ID))
  fc.assert(fc.property(fc.string(), (cursor) => isRefused('users', cursor)))
  t.end()
})

t.test('a page is what was asked for, and tells the way to the next', (t) => {
  const page = (url: string, rows: string[]) => {
    let link: string | undefined
    const reply = { header: (_name: string, value: string) => (link = value) } as never
    const { items, next_cursor } = makePage({ request: { url } as never, reply, listing: 'a' }, rows, 2, (row) => row)
    return { items, next: next_cursor && decodeCursor('a', next_cursor, /^/), link }
  }
  t.strictSame(page('/v1/users', ['x', 'y']), { items: ['x', 'y'], next: null, link: undefined }, 'the last page')
  t.match(page('/v1/users?limit=2&pool=a', ['x', 'y', 'z']), {
    items: ['x', 'y'],
    next: 'y',
    link: /^<\/v1\/users\?limit=2&pool=a&cursor=[\w-]+>; rel="next"$/,
  })
  t.match(page('/v1/users?cursor=old', ['x', 'y', 'z']).link, /^<\/v1\/users\?cursor=(?!old)[\w-]+>; rel="next"$/)
  t.notMatch(page('//evil.example/v1/users', ['x', 'y', 'z']).link, /evil/)
  t.end()
})
