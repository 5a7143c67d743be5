import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Stopped } from '../../src/process/shutdown.ts'
import { testDatabase } from '../database.ts'
import { startService } from '../http/service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { usersync as call } from './call.ts'

const t = suite()

const KEY = 'operator-0123456789-0123456789-0123'
const READER = 'reader-0123456789-0123456789-012345'
const databaseUrl = await testDatabase()
const { url, sql } = await startService(t, {
  DATABASE_URL: databaseUrl,
  API_KEYS: `ops=admin+users:lease+credentials:read=${KEY},reader=users:read=${READER}`,
})
const folder = await mkdtemp(join(tmpdir(), 'usersync-cli-'))
t.teardown(() => rm(folder, { recursive: true, force: true }))

const ENV = { USERSYNC_URL: url, USERSYNC_KEY: KEY }
const CHEAP = JSON.stringify({ password_hash: { algorithm: 'none' } })

/** Calls the command on the service, in the pool `pool`. */
const usersync = (pool: string, args: string, more: Parameters<typeof call>[1] = {}) =>
  call([...args.split(' '), '--pool', pool], { env: ENV, ...more })

/** Calls a command with --json, and returns the values that it prints. */
async function valuesOf(pool: string, args: string, more: Parameters<typeof call>[1] = {}) {
  const { out } = await usersync(pool, `${args} --json`, more)
  return out
    .trim()
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line))
}

/** Creates a pool with users. */
async function poolOf(name: string, count: number): Promise<{ id: string }> {
  await sql`insert into pools (name) values (${name})`
  const [batch] = await valuesOf(name, `batch create ${count} --config -`, { stdin: CHEAP })
  return batch
}

t.test('a batch is created, watched, listed and deleted', async (t) => {
  const { id } = await poolOf('batches', 5)
  const created = await usersync('batches', 'batch create 3 --label tea --seed s --config -', { stdin: CHEAP })
  t.match(created, { code: 0, err: '', out: /^id +[0-9a-f-]{36}\nlabel +tea\nstatus +completed\n/ })
  t.match(await valuesOf('batches', `batch watch ${id}`), [{ id, status: 'completed', created_count: 5 }])
  t.match(await valuesOf('batches', 'batch list --status completed --limit 2'), [{ label: 'tea' }, { id }])
  t.equal((await valuesOf('batches', 'batch list --limit 1')).length, 1)
  t.match(
    (await usersync('batches', 'batch list')).out,
    /^ID +STATUS +USERS +LEFT +CREATED +LABEL\n[0-9a-f-]{36} {2}completed {2}3 {6}3 /,
  )

  await usersync('batches', `lease take 2 --batch ${id}`)
  const unconfirmed = await usersync('batches', `batch delete ${id}`)
  t.match(unconfirmed, {
    code: 2,
    out: '',
    err: /deletes the 5 users of batch .* Leased now: 2\. .*Confirm with --yes/,
  })
  const misread = await usersync('batches', `batch delete ${id}`, { isTty: true, stdin: 'yes\n' })
  t.match(misread, { code: 2, err: /Type 5 to confirm: .*not confirmed, nothing is deleted/ })
  const ended = await usersync('batches', `batch delete ${id}`, { isTty: true, stdin: '' })
  t.match(ended, { code: 2, err: /not confirmed, nothing is deleted/ }, 'Ctrl-D')
  const typed = await usersync('batches', `batch delete ${id}`, { isTty: true, stdin: '5\n' })
  t.match(typed, { code: 0, out: /^id +.*\ndeleted_count +5\nprotected_count +0\n$/ })
  t.match(await valuesOf('batches', `batch delete ${id} --yes`), [{ deleted_count: 0 }], 'may be repeated')
  t.match((await usersync('batches', 'batch list')).out, new RegExp(`\n${id}  removed +5 +0 `), 'its users are gone')
})

t.test('progress is drawn on a terminal alone, and an interrupted wait says what goes on', async (t) => {
  await sql`insert into pools (name) values ('progress')`
  const [quiet] = await valuesOf('progress', 'batch create 1 --detach --config -', { stdin: CHEAP })
  t.match(await usersync('progress', `batch watch ${quiet.id}`), { code: 0, err: '' })

  const stop = new AbortController()
  const slow = JSON.stringify({ ...JSON.parse(CHEAP), chunk_size: 100 }) // few users are made before it is cancelled
  const waiting = await usersync('progress', 'batch create 20000 --config -', {
    ...{ stdin: slow, isTty: true, stop: stop.signal },
    onStderr: (text) => /of 20,000 users/.test(text) && stop.abort(new Stopped('SIGINT')),
  })
  t.match(waiting, {
    code: 130,
    out: '',
    err: /ended by SIGINT\. Batch \S+ goes on at the service: `usersync batch watch/,
  })
  const [{ id }] = await valuesOf('progress', 'batch list --limit 1')
  const cancelled = await usersync('progress', `batch cancel ${id}`)
  t.match(cancelled, { code: 0, err: '', out: /status +(cancelled|completed)/ })
  const isCancelled = /status +cancelled/.test(cancelled.out)
  t.match(await usersync('progress', `batch watch ${id}`), {
    code: isCancelled ? 1 : 0,
    err: isCancelled ? /^usersync: the batch is cancelled: [\d,]+ of 20,000 users created, 0 failed\n$/ : '',
  })
})

t.test('users are imported, listed, shown and exported', async (t) => {
  await sql`insert into pools (name) values ('users')`
  const csv = 'username,email\nzoe,zoe@example.com\nyan,yan@example.com\n'
  const file = join(folder, 'in.csv')
  await writeFile(file, csv)
  t.match(await valuesOf('users', `users import ${file} --label given`), [{ created_count: 2, label: 'given' }])
  const again = await usersync('users', `users import ${file}`)
  t.match(again, { code: 5, out: '', err: /^usersync: import_conflict: rows\.1\.username is taken .*\n$/ })
  const piped = await valuesOf('users', 'users import - --format csv --on-conflict skip', { stdin: csv })
  t.match(piped, [{ skipped_count: 2 }])

  t.match(await valuesOf('users', 'users list --sort username --limit 1'), [{ username: 'yan' }])
  t.match((await usersync('users', 'users list --username zoe')).out, /^ID +USERNAME +EMAIL +ROLE +BATCH\n\S+ +zoe /)
  const [{ id }] = await valuesOf('users', 'users get zoe')
  t.match((await usersync('users', `users get ${id}`)).out, new RegExp(`^id +${id}\nusername +zoe\n`))
  t.match(await usersync('users', 'users get nobody'), { code: 5, err: /there is no user nobody/ })

  const out = join(folder, 'out.csv')
  t.match(await usersync('users', `users export ${out}`), { code: 0, out: '', err: '' })
  const exported = await readFile(out, 'utf8')
  t.equal(exported, (await usersync('users', 'users export --format csv')).out)
  t.match(exported, /^id,username,.*\n\S+,(zoe|yan),/)
  t.match(
    (await usersync('users', 'users export')).out,
    /^\{"kind":"full",[\s\S]*\n\{"end":"u1-[0-9a-f]{64}","lines":2\}\n$/,
  )
  t.match(await usersync('users', `users export ${out} --include password`), { code: 0 })
  t.equal((await stat(out)).mode & 0o777, 0o600, 'nobody else reads logins')
  t.match(await usersync('users', `users export ${folder}/none/x.csv`), {
    code: 2,
    err: /cannot be written \(ENOENT\)/,
  })
})

t.test('users are taken and returned', async (t) => {
  await poolOf('leases', 5)
  const [lease] = await valuesOf('leases', 'lease take 3 --ttl 60 --owner ann --include password')
  t.equal(lease.users.length, 3)
  t.type(lease.users[0].password, 'string')
  t.match(
    (await usersync('leases', 'lease list')).out,
    new RegExp(`\n${lease.id}  ${lease.fence} +active +3 .* ann\n$`),
  )
  t.match(await usersync('leases', 'lease take 3 --partial'), {
    code: 0,
    err: '',
    out: /^lease +\S+\nfence +\d+\n[\s\S]*\nID +USERNAME /,
  })
  t.match(await usersync('leases', 'lease take'), { code: 3, out: '', err: /^usersync: users_exhausted: .*\n$/ })
  const one = await usersync(
    'leases',
    `lease return ${lease.id} ${lease.users[0].id} --fence ${lease.fence} --outcome dirty`,
  )
  t.match(one, { code: 0, out: /returned_count +1\nheld_count +2\n/ })
  t.match(await valuesOf('leases', `lease return ${lease.id} --fence ${lease.fence}`), [{ held_count: 0 }])
  const lost = await usersync('leases', `lease return ${lease.id} --fence ${lease.fence + 1}`)
  t.match(lost, { code: 5, err: /^usersync: lease_lost: .*\n$/ })
  t.match(await valuesOf('leases', 'lease list --all'), [{}, { id: lease.id, status: 'returned' }])
})

async function newTarget(target: object): Promise<void> {
  const headers = { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' }
  const body = JSON.stringify({ pool: 'source', ...target })
  const { status } = await fetch(`${url}/v1/targets`, { method: 'POST', headers, body })
  if (status !== 201) throw new Error(`the target was answered with ${status}`)
}

t.test('a target is brought in step, listed and verified', async (t) => {
  const { id } = await poolOf('source', 4)
  await sql`insert into pools (name) values ('copy')`
  await newTarget({ name: 'copy', url, key: KEY, remote_pool: 'copy' })

  t.match((await usersync('source', 'targets list')).out, /^TARGET +IN STEP .*\ncopy +no /)
  t.match(await usersync('source', 'targets sync copy'), {
    ...{ code: 0, err: /^warning: .* a replica of everything: .*\n$/, out: /status +succeeded[\s\S]*added_count +4/ },
  })
  t.match(await usersync('source', 'targets verify copy'), { code: 0, out: /in_step +true/ })
  t.match(await valuesOf('source', 'targets list'), [{ target: 'copy', in_step: true }])
  await valuesOf('source', 'batch create 2 --config -', { stdin: CHEAP })
  t.match(await usersync('source', 'targets verify copy'), { code: 6, out: /in_step +false[\s\S]*missing +2\n/ })
  await usersync('source', `batch delete ${id} --yes`)
  const again = await usersync('source', 'targets sync copy --full')
  t.match(again, { code: 0, err: '', out: /status +succeeded\nkind +full/ }, 'a replica stays one')

  await sql`create table public.people (username text primary key)`
  const tables = [{ table: 'public.people', columns: { username: '{username}' }, key: ['username'] }]
  await newTarget({ name: 'people', kind: 'postgres', url: databaseUrl, mapping: { tables } })
  t.match(await usersync('source', 'targets sync people --dry-run'), {
    code: 0,
    out: /dry_run +true[\s\S]*added_count +2\n/,
  })
  await sql`drop table public.people`
  t.match(await usersync('source', 'targets sync people'), {
    ...{ code: 1, err: /^usersync: the run failed: \w+, .*people.*\n$/, out: /status +failed/ },
  })
  t.match(await usersync('source', 'targets sync none'), { code: 5, err: /^usersync: target_not_found: .*\n$/ })
})

t.test('status shows the service, what is in work and what the key may see', async (t) => {
  const shown = await usersync('source', 'status')
  t.match(shown, {
    code: 0,
    err: '',
    out: /usersync 1\.0\.0\nhealth +ready\npools +batches .*\nleases +\d+ free[\s\S]*\ncopy +yes/,
  })
  const [values] = await valuesOf('source', 'status')
  t.match(values, { url, health: { status: 'ready' }, batches: [], targets: [{ target: 'copy' }, {}] })
  const reader = await usersync('source', 'status', { env: { ...ENV, USERSYNC_KEY: READER } })
  t.match(reader, { code: 0, out: /health +ready/ })
  t.notMatch(reader.out, /pools|leases/)
  await sql`insert into pools (name) select 'z' || n from generate_series(1, 1000) n` // a page of the listing has 1000
  const [all] = await valuesOf('source', 'status')
  t.equal(all.pools.length, values.pools.length + 1000)
  await sql`delete from pools where name ~ '^z[0-9]'`
})

t.test('a fault is that of the option or argument, not of the member of the request', async (t) => {
  const wrong: [string, RegExp][] = [
    ['batch create 999999999999', /^usersync: invalid_request: COUNT must/],
    ['batch create 1 --expires-in 999999999999', /: --expires-in must/],
    ['batch create 1 --epoch yesterday --seed s', /: --epoch /],
    ['batch create 1 --config -', /: --config frob is /],
    ['batch watch nothing', /: ID must/],
    ['lease take 1 --ttl 999999999', /: --ttl must/],
    ['lease take 1 --batch nothing', /: --batch must/],
    ['users list --batch nothing', /: --batch must/],
    ['users list --sort nothing', /: --sort /],
  ]
  for (const [args, err] of wrong)
    t.match(await usersync('default', args, { stdin: '{"frob": 1}' }), { code: 5, out: '', err }, args)
})

t.test('a missing, unknown or weak key is exit code 4, and a key file works', async (t) => {
  const file = join(folder, 'key')
  await writeFile(file, `${KEY}\n`)
  const other = 'x'.repeat(40)
  t.match(await call(['users', 'list'], { env: { USERSYNC_URL: url } }), {
    code: 4,
    out: '',
    err: /^.*needs an API key.*\n$/,
  })
  const unknown = await call(['users', 'list'], { env: { ...ENV, USERSYNC_KEY: other } })
  t.match(unknown, { code: 4, err: /^.*does not know this API key.*\n$/ })
  t.notMatch(unknown.err, other)
  const weak = await call(['batch', 'create', '1'], { env: { ...ENV, USERSYNC_KEY: READER } })
  t.match(weak, { code: 4, err: /^usersync: forbidden: .*\n$/ })
  t.match(await call(['users', 'list', '--key-file', file], { env: { USERSYNC_URL: url } }), { code: 0 })
})

t.test('the examples of docs/command.md work as they stand there', async (t) => {
  const page = await readFile('docs/command.md', 'utf8')
  const [, block = ''] = /## Use it\n\n```sh\n([\s\S]*?)```/.exec(page) ?? []
  const lines = block.trim().split('\n')
  t.ok(lines.length >= 10)
  for (const line of lines) {
    const [program, ...args] = [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, word]) => quoted ?? word ?? '')
    t.equal(program, 'usersync')
    const inFolder = args.map((arg) => (/\.csv$/.test(arg) ? join(folder, arg) : arg))
    const { code, err } = await call(inFolder, { env: ENV })
    t.equal(code, 0, `${line}: ${err}`)
  }
})

t.test('pull keeps a file in step, with the same variables', async (t) => {
  await poolOf('pulled', sized(10, 1_000))
  const out = join(folder, 'pulled.ndjson')
  t.match(await call(['pull', '--out', out, '--pool', 'pulled'], { env: ENV }), {
    code: 0,
    out: '',
    err: /^full, [\d,]+ users/,
  })
  t.match(await call(['pull', '--out', out, '--pool', 'pulled'], { env: ENV }), { code: 0, err: /unchanged/ })
  const nowhere = await call(['pull', '--out', out, '--url', 'nowhere'], { env: ENV })
  t.match(nowhere, { code: 2, err: /^usersync: --url expects an address/ }, '--url wins over the variable')
})
