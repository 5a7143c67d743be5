import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readCluster } from './cluster.ts'
import { emptyDatabase } from './database.ts'
import { startService } from './http/service.ts'
import { BEGUN } from './run-record.ts'
import { plant, searchRecord } from './search-record.ts'
import { startServerProcess } from './server-process.ts'
import { suite } from './suite.ts'

const t = suite()

/** What this process has written to the record of this run. */
async function recordOf(ending: string): Promise<string> {
  const folder = (await readCluster())?.record ?? ''
  const own = new RegExp(`-${process.pid}[-.]`)
  const files = (await readdir(folder)).filter((name) => own.test(name) && name.endsWith(ending))
  return (await Promise.all(files.map((name) => readFile(join(folder, name), 'utf8')))).join('')
}

t.test('logs and error responses of services are recorded', async (t) => {
  const service = await startService(t, { MAX_WORKERS: '1' })
  t.match(await service.call('GET', '/v1/pools/kept'), { status: 404 })
  t.match(await recordOf('.log'), /"route":"\/v1\/pools\/:name","status":404/)
  t.match(await recordOf('.answers'), /^404 \{.*"content-type":"application\/problem\+json.*"code":"pool_not_found"/m)

  const { url } = await startServerProcess(t, { DATABASE_URL: await emptyDatabase(t), ENCRYPTION_KEY: '5e'.repeat(32) })
  t.match(await recordOf('.log'), `usersync listens on ${url}`, 'also for a service in its own process')
})

t.test('a run fails if something leaks or if the search itself does not work', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'usersync-record-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const search = async () => (await searchRecord(folder, ['pa55'])).faults
  t.strictSame(await search(), ['the planted secret is not found'], 'an empty folder')
  await plant(folder)
  await writeFile(join(folder, BEGUN), 'one.log\ntwo.log\n')
  await writeFile(join(folder, 'one.log'), 'right\nright\n')
  t.strictSame(await search(), ['two.log: no line was recorded'])
  await writeFile(join(folder, 'two.log'), 'right\na s3cret\nright\npa55\n')
  await writeFile(join(folder, 'x.answers'), '500 {} at f (/app/x.ts:1:2)\n')
  t.strictSame(await search(), [
    'two.log: a key or password: a s3cret',
    'two.log: a value: pa55',
    'x.answers: a place in the code: 500 {} at f (/app/x.ts:1:2)',
  ])
})
