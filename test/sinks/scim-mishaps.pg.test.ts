import type { Test } from 'tap'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { startScim, TOKEN } from './scim-server.ts'
import { sinkRoutes, sinkService } from './sink.ts'
import { type Mishap, startUnreliable } from './unreliable.ts'

const t = suite()

/* A real SCIM server that is slow, busy, fails or restarts: users arrive once, and the run says what did not work. */

const USERS = sized(60, 150)
t.setTimeout(600_000)

const service = await sinkService(t)
const { call, sql } = service
const { create, sync, clear, failures, status, batch } = sinkRoutes(service)
await batch(USERS)

/** Without bulk requests, the small size has test/sinks/by-request.test.ts, which loses answers, kills and restarts a model. */
for (const BULK of sized(['20'], ['20', '0'])) {
  const with_ = BULK === '0' ? 'without bulk requests' : 'with bulk requests'
  const server = await startScim(t, { BULK })
  const proxy = await startUnreliable(t, server.url)
  const name = `s${BULK}`
  await create({
    name,
    kind: 'scim',
    url: proxy.url,
    key: TOKEN,
    preset: 'user',
    limits: { batch: 30, concurrency: 2 },
  })

  async function exactly(t: Test): Promise<void> {
    const wanted = await sql`select id as external_id, username, email, role from users order by username collate "C"`
    t.strictSame(server.ours(), [...wanted], 'exactly the users of the export')
    t.match(await status(name), { in_step: true })
  }

  /** Runs with these mishaps, then without, and empties the server. */
  async function withMishaps(t: Test, mishap: typeof proxy.mishap, outcome: object, over = () => Promise.resolve()) {
    proxy.mishap = mishap
    proxy.requests = []
    t.match(await sync(name), outcome)
    proxy.mishap = () => undefined
    await over()
    await sync(name)
    await exactly(t)
    t.match(await clear(name), { status: 'succeeded', failure: null })
    t.strictSame(server.ours(), [])
  }

  t.test(`${with_}: every tenth request is answered with 500, before or after its effect`, async (t) => {
    for (const mishap of [{ answer: { status: 500 } }, { cut: 'after' as const }])
      await withMishaps(t, (_, n): Mishap | undefined => (n % 10 === 0 ? mishap : undefined), { failure: null })
  })

  t.test(`${with_}: 429 with Retry-After is obeyed`, async (t) => {
    const seconds = 1
    let [freeAt, refusals, early] = [0, 0, 0]
    await call('PATCH', `/v1/targets/${name}`, { body: { limits: { concurrency: 1 } } })
    const mishap = (): Mishap | undefined => {
      const now = performance.now()
      if (now < freeAt - 20) early++ // a timer may be early
      if (refusals === 2 || ++requests % 5 !== 0) return undefined
      refusals++
      freeAt = now + seconds * 1000
      return { answer: { status: 429, headers: { 'retry-after': String(seconds) } } }
    }
    let requests = 0
    await withMishaps(t, mishap, { status: 'succeeded', failure: null, added_count: USERS })
    t.strictSame({ refusals, early }, { refusals: 2, early: 0 }, 'no request before its time')
    await call('PATCH', `/v1/targets/${name}`, { body: { limits: { concurrency: 2 } } })
  })

  t.test(`${with_}: a slow server`, async (t) => {
    await withMishaps(t, () => ({ delayMs: Math.random() * 20 }), { status: 'succeeded', failure: null })
  })

  t.test(`${with_}: a server that restarts in the middle of a run`, async (t) => {
    let restarted: Promise<void> | undefined
    await withMishaps(
      t,
      (_, n) => {
        if (n === 5) restarted = server.stop().then(() => server.start())
        return undefined
      },
      {},
      async () => await restarted,
    )
  })

  t.test(`${with_}: one user in many is refused, listed by name, and arrives when it can`, async (t) => {
    await server.stop()
    await server.start({ REFUSED: '^u\\d*5@' })
    const { count: refused } = await sql`select from users where username ~ '^u\\d*5@'`
    const run = await sync(name)
    t.match(run, { status: 'failed', failure: 'users_refused', added_count: USERS - refused })
    t.match(run.detail, `refused ${refused} users`)
    const listed = await failures(name)
    t.ok(listed.length > 0 && listed.every(({ username, code }) => /5@/.test(username) && code === 'refused'))
    t.match(listed[0], {
      operation: 'create',
      detail: 'A value is missing, or is not one that the server takes (status 400): userName.',
    })
    t.equal(server.ours().length, USERS - refused)
    t.match(await status(name), { in_step: false })
    await server.stop()
    await server.start()
    t.match(await sync(name), { status: 'succeeded', added_count: refused })
    await exactly(t)
    await clear(name)
  })
}

t.test('users that arrived are not sent again after the server stayed busy', async (t) => {
  const server = await startScim(t, { BULK: '0' })
  const proxy = await startUnreliable(t, server.url)
  const limits = { batch: 30, concurrency: 1 }
  await create({ name: 'busy', kind: 'scim', url: proxy.url, key: TOKEN, preset: 'user', limits })
  let writes = 0
  const busy = { answer: { status: 429 } }
  proxy.mishap = ({ method }) => (method === 'POST' && ++writes > 7 ? busy : undefined)
  t.match(await sync('busy'), { status: 'failed', failure: 'busy', added_count: 7 })
  proxy.mishap = () => undefined
  proxy.requests = []
  t.match(await sync('busy'), { status: 'succeeded', added_count: USERS - 7, updated_count: 0 })
  t.equal(proxy.requests.filter(({ method }) => method === 'POST').length, USERS - 7)
  t.equal(proxy.requests.filter(({ method }) => method === 'PUT').length, 0)
  t.equal(server.ours().length, USERS)
  await clear('busy')
})

t.test('a bulk request that is too large after all is sent in smaller ones', async (t) => {
  const server = await startScim(t, {})
  const proxy = await startUnreliable(t, server.url)
  proxy.mishap = ({ path, body }) =>
    path.endsWith('/Bulk') && (JSON.parse(body).Operations.length > 6 || body.length > 2_000)
      ? { answer: { status: 413 } }
      : undefined
  await create({ name: 'large', kind: 'scim', url: proxy.url, key: TOKEN, preset: 'user', limits: { batch: 50 } })
  t.match(await sync('large'), { status: 'succeeded', added_count: USERS, attempts: 1 })
  t.equal(server.ours().length, USERS)
  proxy.mishap = ({ path }) => (path.endsWith('/Bulk') ? { answer: { status: 405 } } : undefined)
  t.match(
    await clear('large'),
    { status: 'succeeded', deleted_count: USERS },
    'without bulk requests, if they are refused',
  )
  t.equal(server.ours().length, 0)
})

t.test('operations that are missing in a bulk answer are looked up', async (t) => {
  const server = await startScim(t, {})
  const proxy = await startUnreliable(t, server.url)
  await create({ name: 'cut', kind: 'scim', url: proxy.url, key: TOKEN, preset: 'user', limits: { batch: 40 } })
  let cuts = 0
  const firstHalf = (body: string) => {
    const answer = JSON.parse(body)
    return JSON.stringify({ ...answer, Operations: answer.Operations.slice(0, answer.Operations.length >> 1) })
  }
  proxy.mishap = ({ path }) => (path.endsWith('/Bulk') && cuts++ < 3 ? { edit: firstHalf } : undefined)
  t.match(await sync('cut'), { status: 'succeeded', failure: null })
  t.equal(server.ours().length, USERS)
  await clear('cut')
})

t.test('a server with small pages is asked for fewer users at a time', async (t) => {
  const server = await startScim(t, {})
  const proxy = await startUnreliable(t, server.url)
  proxy.mishap = (request) => {
    request.path = request.path.replace(/count=\d+/, 'count=7')
    return undefined
  }
  await create({ name: 'pages', kind: 'scim', url: proxy.url, key: TOKEN, preset: 'user' })
  t.match(await sync('pages'), { status: 'succeeded', added_count: USERS })
  proxy.requests = []
  t.match(await clear('pages'), { status: 'succeeded', deleted_count: USERS })
  t.equal(server.ours().length, 0)
  const lookUps = proxy.requests.filter(({ path }) => path.includes('filter=')).length
  t.ok(lookUps < USERS / 3, `${lookUps} look-ups`)
})
