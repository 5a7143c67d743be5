import fc from 'fast-check'
import { Problem } from '../../src/errors.ts'
import { readSort, SUPPORTED_SORTS } from '../../src/users/sort.ts'
import { anyCharacter } from '../any-character.ts'
import { suite } from '../suite.ts'

const t = suite()

t.test('readSort accepts the supported sorts and other spellings of them', (t) => {
  const spellings: Record<string, string> = {
    created_at: 'created_at,-username',
    '-created_at': '-created_at,username',
    'username,created_at': 'username',
    '-id,email,-username,created_at': '-id',
    '-created_at,username,id': '-created_at,username',
  }
  for (const name of SUPPORTED_SORTS) t.equal(readSort(name).name, spellings[name] ?? name, name)
  for (const [spelling, name] of Object.entries(spellings)) t.strictSame(readSort(spelling), readSort(name), spelling)
  t.strictSame(readSort('-created_at,username').keys, [
    { column: 'created_at', descending: true },
    { column: 'username', descending: false },
  ])
  t.end()
})

t.test('any other sort is rejected, and the supported ones are listed', (t) => {
  const table = [
    ...[
      '',
      ',',
      '-',
      'ID',
      ' id',
      '+id',
      '--id',
      'id,',
      ',id',
      'role',
      'constructor',
      '__proto__',
      'pool_id',
      'id\u0000',
    ],
    ...['created_at,username', '-created_at,-username', 'created_at,id', 'created_at,-email', 'created_at,created_at'],
    ...[
      'id,id',
      'id,-id',
      'username,-created_at,created_at',
      'id,role',
      'created_at,-username,x',
      'created_at,-username,',
    ],
  ]
  for (const text of table) {
    try {
      readSort(text)
      t.fail(text)
    } catch (error) {
      t.match(
        error,
        { code: 'invalid_request', errors: [{ path: 'querystring.sort', code: 'unsupported_sort' }] },
        text,
      )
      const { message } = (error as Problem).errors?.[0] ?? { message: '' }
      for (const name of SUPPORTED_SORTS) t.ok(message.split(/[ ;]/).includes(name), name)
    }
  }
  t.end()
})

t.test('any text is either a sort or rejected with the same error', (t) => {
  const names = ['id', 'username', 'email', 'created_at', 'role', ''].flatMap((name) => [name, `-${name}`])
  const key = fc.constantFrom(...names)
  fc.assert(
    fc.property(fc.oneof(fc.array(key).map(String), fc.string({ unit: anyCharacter })), (text) => {
      try {
        return SUPPORTED_SORTS.includes(readSort(text).name)
      } catch (error) {
        return error instanceof Problem && error.code === 'invalid_request'
      }
    }),
  )
  t.end()
})
