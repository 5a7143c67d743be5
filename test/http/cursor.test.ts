import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { Problem } from '../../src/errors.ts'
import { type Cursors, createCursors } from '../../src/http/pagination.ts'
import { anyCharacter } from '../any-character.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()

const key = randomBytes(32)
const cursors = createCursors(key)

/** Whether a cursor is rejected with the expected error. */
function isRefused(listing: string, cursor: string, by: Cursors = cursors): boolean {
  try {
    by.decode(listing, cursor)
    return false
  } catch (error) {
    return error instanceof Problem && error.code === 'cursor_invalid'
  }
}

const text = fc.string({ unit: anyCharacter })

t.test('a cursor encodes where the page ended', (t) => {
  fc.assert(fc.property(text, text, (listing, last) => cursors.decode(listing, cursors.encode(listing, last)) === last))
  fc.assert(fc.property(text, text, (listing, last) => /^[\w-]{22,}$/.test(cursors.encode(listing, last))))
  t.equal(cursors.decode('users', undefined), undefined, 'the first page has none')
  t.end()
})

t.test('replicas with the same key accept each other’s cursors, also after a restart', (t) => {
  const other = createCursors(Buffer.from(key))
  t.equal(other.decode('users', cursors.encode('users', 'x')), 'x')
  t.end()
})

t.test('a cursor of another listing is rejected', (t) => {
  fc.assert(
    fc.property(text, text, text, (listing, other, last) => {
      fc.pre(listing !== other)
      return isRefused(other, cursors.encode(listing, last))
    }),
  )
  t.ok(
    isRefused('users', cursors.encode('users 1', '2')),
    'moving text between the listing and the value does not help',
  )
  t.ok(isRefused('users 1', cursors.encode('users', ' 12')))
  t.end()
})

t.test('an unsigned cursor, or one signed with another key, is rejected', (t) => {
  fc.assert(
    fc.property(text, fc.uint8Array({ minLength: 32, maxLength: 32 }), (last, otherKey) =>
      isRefused('users', createCursors(Buffer.from(otherKey)).encode('users', last)),
    ),
  )
  const signature = Buffer.alloc(16)
  for (const forged of ['', '0', '{"id":null}', "' or 1=1 --", '\u0000', 'x'.repeat(10_000)]) {
    t.ok(isRefused('users', Buffer.from(forged).toString('base64url')), `${forged.slice(0, 20)}, unsigned`)
    t.ok(isRefused('users', Buffer.concat([signature, Buffer.from(forged)]).toString('base64url')), forged.slice(0, 20))
  }
  fc.assert(fc.property(fc.string({ unit: anyCharacter, maxLength: 100 }), (cursor) => isRefused('users', cursor)))
  t.end()
})

t.test('a shortened, extended or changed cursor is rejected', (t) => {
  const cursor = cursors.encode('users {"poolId":1}', '{"id":"01890000-0000-7000-8000-000000000001"}')
  const refused = (changed: string) => isRefused('users {"poolId":1}', changed)
  fc.assert(fc.property(fc.nat(cursor.length - 1), (length) => refused(cursor.slice(0, length))))
  fc.assert(fc.property(fc.string({ unit: anyCharacter, minLength: 1 }), (tail) => refused(cursor + tail)))
  fc.assert(
    fc.property(fc.nat(cursor.length - 1), fc.constantFrom(...'AZaz09-_+/= .é\u0000'), (at, character) => {
      fc.pre(cursor[at] !== character)
      return refused(cursor.slice(0, at) + character + cursor.slice(at + 1))
    }),
    { numRuns: sized(200, 1_000) },
  )
  t.end()
})

t.test('the same bytes in another encoding are rejected', (t) => {
  const cursor = cursors.encode('pools', '>>>???')
  const bytes = Buffer.from(cursor, 'base64url')
  t.notOk(isRefused('pools', cursor))
  t.ok(isRefused('pools', bytes.toString('base64')), 'base64')
  t.ok(isRefused('pools', `${cursor}=`), 'padding')
  t.ok(isRefused('pools', bytes.toString('hex')), 'hex')
  t.ok(isRefused('pools', bytes.toString('latin1')), 'raw bytes')
  t.end()
})
