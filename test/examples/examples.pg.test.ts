import { mkdtemp, readdir, readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { Test } from 'tap'
import { checkKeepInStep, keepInStep, type Place } from '../../examples/check/keep-in-step.ts'
import { startRecorder } from '../../examples/check/recorder.ts'
import { checkScim } from '../../examples/check/scim.ts'
import { AUTOCANNON, checkTool, JMETER, LOCUST } from '../../examples/check/tools.ts'
import { exportedUsers, makeUsers, rowsOf } from '../../examples/check/users.ts'
import { sharedService } from '../http/shared-service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()

const place = (t: Test): Place => ({ folder: t.testdir(), signal: AbortSignal.timeout(300_000) })
const usersFileOf = ({ folder }: Place) => readFile(join(folder, 'users.csv'), 'utf8')

t.test('the examples read the users of a running service', async (t) => {
  const { url } = await sharedService(t)
  const recorder = await startRecorder()
  t.teardown(() => recorder.close())
  const here = place(t)
  await makeUsers(url, 200)
  await t.resolves(checkKeepInStep(url, here), 'the curl example keeps users.csv in step')

  const users = await exportedUsers(url)
  // The others take seconds of CPU time to start, and read the same file.
  for (const tool of sized([AUTOCANNON], [AUTOCANNON, LOCUST, JMETER])) {
    const obstacle = await checkTool(tool, recorder, users, here)
    if (obstacle) t.comment(`${tool.name}: ${obstacle}`)
    else t.pass(`${tool.name} uses the users of users.csv`)
  }

  const parts: string[] = []
  for (const filter of ['shard=0/2', 'shard=1/2']) {
    const part = { ...here, folder: await mkdtemp(join(here.folder, 'part-')) }
    await keepInStep(url, part, { filter })
    parts.push(await usersFileOf(part))
  }
  t.same(rowsOf(parts.join('').replace(/(?<=\n)id,.*\n/, '')), users, 'two shards together are all users, each once')
})

t.test('the example for SCIM brings users into a server, where they log in, and removes them', async (t) => {
  const { url } = await sharedService(t)
  await makeUsers(url, 10)
  await t.resolves(checkScim(url, place(t)))
})

t.test('keep-in-step.sh sends the key, and does not change users.csv after a failed request', async (t) => {
  const csv = 'id,username\n1,ann\n2,bob\n'
  const requested: [unknown, unknown][] = []
  const answers = [
    [200, csv, '1'],
    [500, 'id,username\n', '2'],
    [301, 'id,username\n', '2'],
    [200, 'op,id,username\nadded,3,cut', '2'],
    [200, 'op,id,username\nupdated,1,"an\nn"\ndeleted,2,\nadded,3,eve\n', '2'],
    [304, '', '2'],
  ] as const
  const server = createServer(({ headers }, response) => {
    const [status, body, state] = answers[requested.length] ?? [404, '', '']
    requested.push([headers.authorization, headers['if-none-match']])
    response.writeHead(status, { etag: `W/"${state}"` }).write(body)
    if (body.endsWith('cut')) setTimeout(() => response.destroy(), 50)
    else response.end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => new Promise((resolve) => server.close(resolve)))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const here = place(t)
  const step = async () => {
    const { code, output } = await keepInStep(url, here, { key: 'a key' })
    return [code === 0, output.trim(), await usersFileOf(here)]
  }

  t.same(await step(), [true, 'full', csv])
  for (const fault of ['an error', 'a redirection', 'a cut answer']) t.same(await step(), [false, '', csv], fault)
  const changed = 'id,username\n1,"an\nn"\n3,eve\n'
  t.same(await step(), [true, 'delta', changed])
  t.same(await step(), [true, 'unchanged', changed])
  t.same(
    requested,
    ['""', ...Array(4).fill('W/"1"'), 'W/"2"'].map((held) => ['Bearer a key', held]),
  )
  t.same(await readdir(here.folder), ['users.csv', 'users.etag'], 'no temporary file is left')
})
