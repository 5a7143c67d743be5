import { deepStrictEqual } from 'node:assert/strict'
import fc from 'fast-check'
import { PeerError } from '../../src/client/peer.ts'
import { createChecked, inHalves, inTurn } from '../../src/sync/kinds/api-requests.ts'
import { byRequest, type Reply, type Requests } from '../../src/sync/kinds/by-request.ts'
import { UNSURE } from '../../src/sync/kinds/kind.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { Runner } from './model-runner.ts'
import { type Content, FAULTS, type Fault, System } from './model-system.ts'

const t = suite()

/*
 * Random histories of users that come, change and go, of others who use the same system, and of runs whose requests fail and whose
 * process is killed. After a last run, the system has exactly the wanted users, none twice, and those of others are as they left them.
 */

type Step = { op: 'want' | 'drop' | 'lose' | 'occupy'; user: number } | { op: 'reset' } | { op: 'run'; faults: Fault[] }

/** Few, so that what happens to a user happens together. More than a batch has. */
const USERS = 4

const user = fc.nat(USERS - 1)
const faults = fc.array(fc.oneof(fc.constant('none' as const), fc.constantFrom(...FAULTS)), { maxLength: 12 })
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ op: fc.constant('want' as const), user }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('drop' as const), user }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constantFrom('lose' as const, 'occupy' as const), user }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('reset' as const) }) },
  { weight: 5, arbitrary: fc.record({ op: fc.constant('run' as const), faults }) },
)

async function play(steps: Step[]): Promise<void> {
  const system = new System()
  const runner = new Runner(system)
  const wanted = new Map<string, Content>()
  const versions = new Map<string, number>()
  const next = (id: string): Content => {
    const version = (versions.get(id) ?? 0) + 1
    return { name: `${id} ${version >> 1}`, version } // every second change keeps the name
  }
  for (const step of steps) {
    const id = 'user' in step ? `u${step.user}` : ''
    if (step.op === 'run') await runner.run(wanted, step.faults)
    if (step.op === 'reset') system.reset()
    if (step.op === 'drop') wanted.delete(id)
    if (step.op === 'lose') system.lose(id)
    if (step.op === 'occupy' && !system.isTaken(next(id).name)) system.add({ name: next(id).name, version: 0 })
    if (step.op === 'want') {
      wanted.set(id, next(id))
      versions.set(id, next(id).version)
    }
  }
  const others = () => [...system.users].filter(([, { mark }]) => mark === undefined)
  system.settle()
  const before = structuredClone(others())
  const refused = await runner.run(wanted, [])
  const taken = [...wanted].filter(([, { name }]) => others().some(([, other]) => other.name === name))
  const ours = [...system.users.values()].filter(({ mark }) => mark !== undefined)
  const arrived = ours.filter(({ mark = '' }) => !refused.includes(mark)).map(({ mark, ...content }) => [mark, content])
  const expected = [...wanted].filter(([id]) => !refused.includes(id))
  deepStrictEqual(refused.toSorted(), taken.map(([id]) => id).toSorted(), 'refused are those whose names others have')
  deepStrictEqual(new Map(arrived as [string, Content][]), new Map(expected), 'exactly the wanted users')
  deepStrictEqual(new Set(ours.map(({ mark }) => mark)).size, ours.length, 'none twice')
  deepStrictEqual(
    ours.filter(({ mark = '' }) => !wanted.has(mark)),
    [],
    'none left over',
  )
  deepStrictEqual(others(), before, 'the users of others are as they left them')
  await runner.run(new Map(), [])
  deepStrictEqual([...system.users], before, 'clear leaves only those of others')
}

/**
 * A creation is sent twice and is late both times. The first one takes effect and is recorded. Somebody else removes that user, and
 * then the second one takes effect: a copy with another id. Random histories find this once in 100,000.
 */
const copied: Step[] = [
  { op: 'want', user: 0 },
  { op: 'want', user: 1 },
  { op: 'run', faults: ['late', 'none', 'none', 'late'] },
  { op: 'lose', user: 0 },
]

t.test('whatever fails, in the end the system has exactly the wanted users', async () => {
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 30, size: 'max' }), play), {
    numRuns: sized(150, 10_000),
    examples: [
      [[...copied, { op: 'drop', user: 0 }]],
      [[...copied, { op: 'want', user: 0 }]],
      [[...copied, { op: 'want', user: 0 }, { op: 'want', user: 0 }]], // with another name
    ],
  })
})

/** Creates these users by requests that reply like this. */
async function send(count: number, create: (userIds: string[], call: number) => Reply[]) {
  let calls = 0
  const pass = () => Promise.reject(new Error('not called'))
  const requests: Requests = {
    ...{ probe: pass, change: pass, remove: pass, close: pass },
    find: () => Promise.resolve(new Map()),
    create: (users) =>
      Promise.resolve(
        create(
          users.map(({ userId }) => userId),
          calls++,
        ),
      ),
  }
  const users = Array.from({ length: count }, (_, n) => ({ userId: `u${n}`, external: null, rendered: {} }))
  const sink = byRequest(requests, new AbortController().signal, 1)
  return { outcomes: await sink.send(users, () => Promise.resolve()), calls }
}

const created = (userId: string) => ({ userId, external: `x${userId}` })
const failed = (fault: PeerError) => (userId: string) => ({ userId, external: UNSURE, fault })
const down = new PeerError('server_error', 'The target answers with status 500.')
const busy = new PeerError('busy', 'The target answers with status 429.', { retryAfterMs: 15 })

t.test('a user that a lagging look-up does not show stays unsure, so that it can be removed later', async (t) => {
  let isThere = false
  let isShown = false
  const create = () => {
    const isTaken = isThere
    isThere = true // also if the answer is lost
    return isTaken ? Promise.resolve([taken]) : Promise.resolve([failed(busy)('u0'), created('u1')])
  }
  const taken: Reply = { userId: 'u0', external: null, refusal: { code: 'exists_already', detail: '' } }
  const requests: Requests = {
    probe: () => Promise.resolve(),
    close: () => Promise.resolve(),
    find: () => Promise.resolve(new Map(isShown ? [['u0', 'x0']] : [])),
    create,
    change: () => Promise.resolve([]),
    remove: (users) => {
      isThere = false
      return Promise.resolve(users.map(({ userId }) => ({ userId, external: null })))
    },
  }
  const sink = byRequest(requests, new AbortController().signal, 1)
  const announce = () => Promise.resolve()
  const users = ['u0', 'u1'].map((userId) => ({ userId, external: null, rendered: {} }))
  const [, sent] = await sink.send(users, announce)
  t.match(sent, { userId: 'u0', external: UNSURE, refusal: { code: 'exists_already' } })
  isShown = true
  await sink.remove([{ userId: 'u0', external: sent?.external ?? '' }], announce)
  t.notOk(isThere)
})

t.test(
  'a user that the key may not change is refused, the others are changed, and a wrong key is a fault',
  async (t) => {
    const forbidden = new PeerError('unauthorized', 'The target answers with status 403.', { mayConcernOne: true })
    const noKey = new PeerError('unauthorized', 'The target answers with status 401.')
    let sent = 0
    async function change(isForbidden: (userId: string) => boolean, fault = forbidden) {
      const send = ({ userId, external }: { userId: string; external: string }) =>
        ++sent && isForbidden(userId) ? Promise.reject(fault) : Promise.resolve({ userId, external })
      const none = () => Promise.resolve([])
      const requests: Requests = {
        probe: () => Promise.resolve(),
        close: () => Promise.resolve(),
        find: () => Promise.resolve(new Map()),
        create: none,
        change: (users) => inTurn(users, send),
        remove: none,
      }
      const users = ['u0', 'u1', 'u2'].map((userId) => ({ userId, external: `x${userId}`, rendered: {} }))
      return await byRequest(requests, new AbortController().signal, 1).send(users, () => Promise.resolve())
    }
    const outcomes = (await change((id) => id === 'u1')).toSorted((a, b) => (a.userId < b.userId ? -1 : 1))
    t.match(outcomes, [
      { userId: 'u0' },
      { external: 'xu1', refusal: { code: 'refused', detail: /403/ } },
      { userId: 'u2' },
    ])
    t.equal(outcomes.filter((outcome) => 'refusal' in outcome).length, 1)
    await t.rejects(
      change(() => true),
      forbidden,
    )
    sent = 0
    const [first, ...others] = await change((id) => id !== 'u0', noKey)
    t.match(first, { userId: 'u0', refusal: undefined })
    t.match(others, [{ fault: noKey }, { fault: noKey }], 'a key that ends in the middle of a batch refuses no user')
    t.equal(sent, 2, 'and no further request is sent')
  },
)

t.test('users that make an API fail are found among many, and an API that is down gets few requests', async (t) => {
  const users = Array.from({ length: 200 }, (_, n) => ({ userId: `u${n}`, external: null }))
  async function import_(poison: (userId: string) => boolean) {
    let requests = 0
    const replies = await inHalves(users, (part) => {
      requests++
      if (part.some(({ userId }) => poison(userId))) return Promise.reject(down)
      return Promise.resolve(part.map(({ userId }) => created(userId)))
    })
    return { requests, failed: replies.flatMap((reply) => ('fault' in reply ? [reply.userId] : [])) }
  }
  t.strictSame((await import_((id) => id === 'u70')).failed, ['u70'])
  t.strictSame((await import_((id) => ['u3', 'u4', 'u199'].includes(id))).failed.includes('u9'), false)
  const { requests, failed } = await import_(() => true)
  t.equal(failed.length, 200)
  t.ok(requests < 20, `${requests} requests`)
})

t.test('the first user of a run does not keep the others away if the API fails with it', async (t) => {
  const users = Array.from({ length: 5 }, (_, n) => ({ userId: `u${n}`, external: null }))
  async function create(fault: (userId: string) => PeerError | undefined) {
    let isChecked = false
    let requests = 0
    const createOne = ({ userId }: { userId: string }): Promise<Reply> => {
      requests++
      const met = fault(userId)
      isChecked ||= met === undefined
      return Promise.resolve(met ? { userId, external: UNSURE, fault: met } : created(userId))
    }
    const createRest = (rest: typeof users) => Promise.resolve(rest.map(({ userId }) => created(userId)))
    const replies = await createChecked(users, () => isChecked, createOne, createRest)
    t.strictSame(
      replies.map(({ userId }) => userId),
      users.map(({ userId }) => userId),
    )
    return { requests, failed: replies.filter((reply) => 'fault' in reply).length }
  }
  t.strictSame(await create((id) => (id === 'u0' ? down : undefined)), { requests: 2, failed: 1 })
  t.strictSame(await create(() => down), { requests: 2, failed: 5 })
  t.strictSame(await create(() => new PeerError('busy', '429')), { requests: 1, failed: 5 })
})

t.test('a target that takes two users at a time gets all of them, with its pauses', async (t) => {
  const began = performance.now()
  const { outcomes, calls } = await send(12, (ids) => [
    ...ids.slice(0, 2).map(created),
    ...ids.slice(2).map(failed(busy)),
  ])
  t.equal(calls, 6)
  t.strictSame(
    outcomes.map(({ userId, external }) => external === `x${userId}`),
    Array(12).fill(true),
  )
  t.ok(performance.now() - began >= 5 * 14, 'waits as long as the target says')
})

t.test('a user that fails in each round is refused once the others have arrived', async (t) => {
  const poison = (id: string) => (id === 'u3' ? failed(down)(id) : created(id))
  const { outcomes } = await send(10, (ids) => ids.map(poison))
  t.equal(outcomes.filter((reply) => !('refusal' in reply) && !('fault' in reply)).length, 9)
  t.match(outcomes, [...Array(9).fill({}), { userId: 'u3', external: UNSURE, refusal: { code: 'unavailable' } }])
})

t.test('if nothing arrives, the target is at fault', async (t) => {
  await t.rejects(
    send(3, (ids) => ids.map(failed(down))),
    down,
  )
})

t.test('if the target stays busy, users that have arrived are not sent again', async (t) => {
  const { outcomes } = await send(3, (ids, call) => [
    ...(call === 0 ? [created('u0')] : []),
    ...ids.slice(call === 0 ? 1 : 0).map(failed(busy)),
  ])
  t.strictSame(outcomes, [created('u0'), failed(busy)('u1'), failed(busy)('u2')])
})
