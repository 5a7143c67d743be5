import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'
import { outFolder, pull } from './pull-process.ts'

const t = suite()

const { url, call } = await sharedService(t)
const folder = await outFolder(t)

async function createPopulation(pool: string, password: string): Promise<void> {
  await call('POST', '/v1/pools', { body: { name: pool } })
  const config = { seed: 's', epoch: '2026-01-01T00:00:00Z', password, password_hash: { algorithm: 'none' } }
  const { status } = await call('POST', '/v1/batches', {
    body: { pool, count: 3, config },
    headers: { prefer: 'wait=30' },
  })
  t.equal(status, 201)
}

t.test('logins of a pool that was created again are pulled, although its state is the same', async (t) => {
  const out = join(folder, 'users.csv')
  const round = () => pull({ url, out, pool: 'again', include: 'password' })
  await createPopulation('again', 'FirstPass1')
  t.match(await round(), { code: 0, output: /full, 3 users/ })
  t.match(await round(), { code: 0, output: /unchanged, 3 users/ })
  await call('DELETE', '/v1/pools/again')
  await createPopulation('again', 'SecondPass2')
  t.match(await round(), { code: 0, output: /the pool was created again.*full, 3 users/s })
  const text = await readFile(out, 'utf8')
  t.equal(text.match(/SecondPass2/g)?.length, 3)
  t.notMatch(text, /FirstPass1/)
  t.match(await round(), { code: 0, output: /unchanged, 3 users/ })
})

t.test('an export with logins says when its pool was created, also in a 304; others do not', async (t) => {
  const path = '/v1/users/export?pool=again&include=password'
  const { headers } = await call('GET', path)
  const created = (await call<{ created_at: string }>('GET', '/v1/pools/again')).json.created_at
  t.equal(headers['usersync-pool-created'], created)
  const matching = { headers: { 'if-none-match': String(headers['etag']) } }
  const unchanged = await call('GET', path, matching)
  t.match(unchanged, { status: 304, headers: { 'usersync-pool-created': created } })
  const bare = await call('GET', '/v1/users/export?pool=again', matching)
  t.equal(bare.status, 304)
  t.equal(bare.headers['usersync-pool-created'], undefined)
})
