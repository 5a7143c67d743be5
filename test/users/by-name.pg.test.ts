import { as, WITH_KEYS } from '../http/keys.ts'
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'

const t = suite()

/* GET /v1/users?username=: at most one user, with exactly that name, that the filter and the key allow. */

const { sql, call } = await sharedService(t, WITH_KEYS)
await sql`
  insert into users (username, email, is_test_user, created_by_bulk) values
    ('Anna', 'anna@example.com', true, false), ('anna', 'anna2@example.com', true, true),
    ('anna_', 'anna3@example.com', true, false), ('chief', 'chief@example.com', false, false)`

const found = async (query: string, key = 'reader') => {
  const answer = await call<{ items: { username: string }[] }>('GET', `/v1/users?${query}`, { headers: as(key) })
  return answer.json.items.map(({ username }) => username)
}

t.test('a user is found by its exact name', async (t) => {
  t.strictSame(await found('username=anna'), ['anna'])
  t.strictSame(await found('username=ANNA'), [])
  t.strictSame(await found('username=ann%25'), [])
  t.strictSame(await found('username=anna&bulk_users_only=true'), ['anna'])
  t.strictSame(await found('username=Anna&bulk_users_only=true'), [])
  t.strictSame(await found('username=chief'), [], 'not a test user')
  t.strictSame(await found('username=chief&test_users_only=false', 'root'), ['chief'])
  const body = { name: 'other' }
  await call('POST', '/v1/pools', { headers: as('root'), body })
  t.strictSame(await found('username=anna&pool=other'), [], 'in another pool')
  const cursor = await call('GET', '/v1/users?username=anna&cursor=AAAA', { headers: as('reader') })
  t.match(cursor, { status: 400, json: { code: 'cursor_invalid' } })
})
