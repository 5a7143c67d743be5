import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { stateOf } from '../../src/protocol/state.ts'
import { parseUserLine } from '../../src/protocol/user-line.ts'
import { suite } from '../suite.ts'
import { exportOf, fakeService, fullOf, lineOf } from './fake-service.ts'
import { outFolder, pull } from './pull-process.ts'

const t = suite()

/* With --shuffle, the file has the users of the state in a random order that follows from the seed alone. */

const lines = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, n) => lineOf(from + n))

/** Serves one state after the other: in full, as the delta from the one before, or 304. */
async function serveStates(t: Parameters<typeof fakeService>[0], states: string[][]) {
  let present = 0
  const url = await fakeService(t, ({ url = '', headers }, response) => {
    const now = states[present] ?? []
    const base = new URL(url, 'http://x').searchParams.get('base')
    const held = headers['if-none-match']?.slice(3, -1) ?? base
    const before = states.find((state) => stateOf(state) === held)
    if (headers['if-none-match'] && held === stateOf(now)) return void response.writeHead(304).end()
    response.writeHead(200, { 'content-type': 'application/x-ndjson' })
    if (!before) return void response.end(fullOf(now))
    const added = now.filter((line) => !before.includes(line))
    const deleted = before.filter((line) => !now.includes(line)).map((line) => JSON.stringify({ deleted: idOf(line) }))
    const counts = { added: added.length, updated: 0, deleted: deleted.length }
    const rows = [...deleted, ...added]
    response.end(exportOf({ base: stateOf(before), rows, state: stateOf(now), total: now.length, counts }))
  })
  return { url, next: () => present++ }
}
const idOf = (line: string) => parseUserLine(line)?.cells[0] ?? ''
const usersOf = async (out: string) => (await readFile(out, 'utf8')).split('\n').filter((line) => /u\d+@/.test(line))

t.test('the order follows from the seed, and changes of the state move nobody', async (t) => {
  const states = [lines(1, 300), lines(101, 350), []]
  const { url, next } = await serveStates(t, states)
  const folder = await outFolder(t)
  const out = join(folder, 'users.ndjson')
  const other = join(folder, 'others.ndjson')
  const round = async (shuffle: string, file = out) => {
    const { code, output } = await pull({ url, out: file, shuffle })
    t.equal(code, 0, output)
    return { output, users: await usersOf(file) }
  }
  const first = await round('7')
  t.not(first.users.join(), states[0]?.join())
  t.strictSame(first.users.toSorted(), states[0])
  t.strictSame((await round('7', other)).users, first.users, 'another file has the same order')
  t.not((await round('8', other)).users.join(), first.users.join(), 'another seed makes another order')
  t.match((await round('7')).output, /unchanged/)

  next()
  const second = await round('7')
  t.match(second.output, /delta/)
  t.strictSame(second.users.toSorted(), states[1])
  const stays = new Set(states[1])
  const before = first.users.filter((line) => stays.has(line))
  t.strictSame(
    second.users.filter((line) => before.includes(line)),
    before,
    'who stays keeps the order',
  )

  const { code } = await pull({ url, out })
  t.strictSame(
    [code, await usersOf(out)],
    [0, states[1]],
    'without --shuffle by id again, although the state is the same',
  )
  next()
  t.strictSame((await round('7')).users, [])
})

t.test('each format is complete', async (t) => {
  const { url } = await serveStates(t, [lines(1, 50)])
  const folder = await outFolder(t)
  const names = new Set(lines(1, 50).map((_, n) => `u${n + 1}`))
  const csv = join(folder, 'users.csv')
  t.equal((await pull({ url, out: csv, shuffle: 'x' })).code, 0)
  const [header, ...rows] = (await readFile(csv, 'utf8')).trimEnd().split('\n')
  t.match(header, /^id,username,/)
  t.strictSame(new Set(rows.map((row) => row.split(',')[1])), names)
  const json = join(folder, 'users.json')
  t.equal((await pull({ url, out: json, shuffle: 'x' })).code, 0)
  const { users } = JSON.parse(await readFile(json, 'utf8')) as { users: { username: string }[] }
  t.strictSame(
    users.map(({ username }) => username),
    rows.map((row) => row.split(',')[1]),
    'in the same order',
  )
})

t.test('the order is random', async (t) => {
  const { url } = await serveStates(t, [lines(1, 400)])
  const out = join(await outFolder(t), 'users.csv')
  await fc.assert(
    fc.asyncProperty(fc.nat(), async (seed) => {
      await pull({ url, out, shuffle: String(seed) })
      const places = (await usersOf(out)).map((row) => Number(/u(\d+)@/.exec(row)?.[1]))
      const firstHalf = places.slice(0, 200).filter((n) => n <= 200).length
      return Math.abs(firstHalf - 100) < 50 // ten standard deviations
    }),
    { numRuns: 5 },
  )
  t.pass()
})

t.test('a seed that would be misread is rejected', async (t) => {
  for (const shuffle of ['', 'a b', 'ü', 'x'.repeat(65)]) {
    const { code, output } = await pull({ url: 'http://127.0.0.1:9', out: 'users.csv', shuffle })
    t.match([code, output], [2, /--shuffle expects 1 to 64 characters/])
  }
})
