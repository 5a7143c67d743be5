import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import type { Test } from 'tap'
import { stateOf } from '../../src/protocol/state.ts'
import { readBase } from '../../src/pull/base.ts'
import type { PullSource } from '../../src/pull/base-label.ts'
import { exitCodeOf } from '../../src/pull/cli.ts'
import { outFiles } from '../../src/pull/files.ts'
import { roundText } from '../../src/pull/report.ts'
import { pullRound } from '../../src/pull/rounds.ts'
import { suite } from '../suite.ts'
import { type ExportContent, exportOf, fakeExports, fullOf, lineOf } from './fake-service.ts'
import { outFolder } from './pull-process.ts'

const t = suite()

/* An export that does not add up is never put in place. */

const never = new AbortController().signal
const OLD = [lineOf(1), lineOf(3)]
const NEW = [lineOf(1), lineOf(2), lineOf(3, 'admin')]
const right: ExportContent = {
  base: stateOf(OLD),
  rows: NEW.slice(1),
  state: stateOf(NEW),
  total: 3,
  counts: { added: 1, updated: 1, deleted: 0 },
}
const full: ExportContent = { rows: NEW, state: stateOf(NEW), total: 3 }

/** Runs a pull without a process, which would cost a second. */
async function pull(url: string, out: string, { format = 'ndjson', shard }: Partial<PullSource> = {}) {
  const filter = { batchId: undefined, testUsersOnly: true, bulkUsersOnly: false }
  const source: PullSource = { url, pool: 'default', filter, shard, credentials: [], format }
  const files = outFiles(out)
  const output: string[] = []
  const events = { onPause: () => {}, onDistrust: (error: Error) => void output.push(`distrusted: ${error.message}`) }
  const job = { source, files, key: undefined, onProgress: () => {} }
  try {
    output.push(roundText(await pullRound(job, await readBase(files, source), never, events), 0))
    return { code: 0, output: output.join() }
  } catch (error) {
    return { code: exitCodeOf(error), output: output.join() }
  }
}

/** Pulls OLD, then what `bodies` contains, one per request. `source` contains the URLs of the second pull. */
async function pullOldThen(t: Test, bodies: string[], options: Partial<PullSource> = {}) {
  const source: string[] = []
  let answers = [fullOf(OLD)]
  const url = await fakeExports(t, (request, response) => {
    source.push(request.url ?? '')
    response.end(answers[Math.min(source.length, answers.length) - 1])
  })
  const folder = await outFolder(t)
  const out = join(folder, 'users')
  t.match(await pull(url, out, options), { code: 0, output: /full, 2 users/ })
  const before = await Promise.all([out, `${out}.base`].map((path) => readFile(path, 'utf8')))
  source.length = 0
  answers = bodies
  const { code, output } = await pull(url, out, options)
  const after = await Promise.all([out, `${out}.base`].map((path) => readFile(path, 'utf8')))
  t.strictSame((await readdir(folder)).sort(), ['users', 'users.base'], 'no other file is left')
  return { code, output, source, isUntouched: before.join() === after.join(), text: after[0] ?? '' }
}

const linesOf = (text: string) => text.trim().split('\n').slice(1, -1)

const WRONG: Record<string, ExportContent> = {
  'a changed line': { ...full, rows: [lineOf(1), lineOf(2), lineOf(3, 'root')] },
  'a missing line': { ...full, rows: NEW.slice(1) },
  'a missing line, and its count': { ...full, rows: NEW.slice(1), total: 2 },
  'a duplicate line': { ...full, rows: [lineOf(1), lineOf(1), lineOf(2), lineOf(3, 'admin')], total: 4 },
  'an extra line': { ...full, rows: [...NEW, lineOf(4)] },
  'a different order': { ...full, rows: NEW.toReversed() },
  'a different total': { ...full, total: 4 },
  'a deletion': { ...full, rows: [`{"deleted":"x"}`, ...NEW], counts: { added: 3, updated: 0, deleted: 1 } },
  'wrong counts': { ...full, counts: { added: 2, updated: 0, deleted: 0 } },
  'missing counts': { ...full, counts: {} as never },
  'a line in another format': { ...full, rows: ['{"id":"a","n":1}'], state: stateOf(['{"id":"a","n":1}']), total: 1 },
}

t.test('a wrong full export is requested once more; then the file stays, and the exit code is 6', async (t) => {
  for (const [what, content] of Object.entries(WRONG)) {
    const format = what === 'a line in another format' ? ('csv' as const) : ('ndjson' as const)
    const done = await pullOldThen(t, [exportOf(content)], { format })
    t.match(done, { code: 6, isUntouched: true }, `${what}: ${done.output}`)
    t.match(done.source, [/format=ndjson(?!.*differential)/, /differential=false/], what)
    t.equal(done.source.length, 2)
  }
  const noCounts = exportOf(full).replace(/"counts":\{[^}]*\}/, '"counts":null')
  for (const [what, body] of Object.entries({ noCounts, cut: fullOf(NEW).slice(0, -9), page: '<html>\n', empty: '' }))
    t.match(await pullOldThen(t, [body]), { code: 6, isUntouched: true }, what)
})

t.test('a wrong delta leads to a full export', async (t) => {
  const good = await pullOldThen(t, [exportOf(right)])
  t.match(good, { code: 0, output: /delta \+1 ~1 -0, 3 users/ })
  t.strictSame(linesOf(good.text), NEW)
  const wrong: Record<string, ExportContent> = {
    'a changed line': { ...right, rows: [lineOf(2), lineOf(3, 'root')] },
    'a different base': { ...right, base: stateOf(NEW) },
    'a missing line': { ...right, rows: [lineOf(2)] },
    'a duplicate line': { ...right, rows: [lineOf(2), lineOf(2)] },
    'a deletion of an unknown user': { ...right, rows: ['{"deleted":"x"}', ...right.rows] },
    'too large': { ...right, counts: { added: 200_001, updated: 0, deleted: 0 } },
  }
  for (const [what, content] of Object.entries(wrong)) {
    const done = await pullOldThen(t, [exportOf(content), fullOf(NEW)])
    t.match(done, { code: 0, output: /distrusted: .*full, 3 users/ }, what)
    t.match(done.source[1], /differential=false/)
    t.strictSame(linesOf(done.text), NEW, what)
  }
})

t.test('a shard is checked by its counts, because its state is unknown', async (t) => {
  const part = { ...right, state: stateOf([lineOf(9)]), total: 30 }
  t.match(await pullOldThen(t, [exportOf(part)], { shard: { index: 0, count: 2 } }), {
    code: 0,
    output: /delta \+1 ~1 -0, 3 users/,
  })
  const counts = { added: 2, updated: 0, deleted: 0 }
  for (const wrong of [
    { ...part, counts },
    { ...full, counts: { ...counts, added: 4 } },
  ])
    t.match(await pullOldThen(t, [exportOf(wrong)], { shard: { index: 0, count: 2 } }), { code: 6, isUntouched: true })
})

t.test('a disk that is full while a file is written has the exit code of one without room', (t) => {
  for (const code of ['ENOSPC', 'EDQUOT']) t.equal(exitCodeOf(Object.assign(new Error(`${code}: write`), { code })), 7)
  t.end()
})

t.test('each content encoding is decoded, and an unknown or cut one is rejected', async (t) => {
  const body = fullOf(NEW)
  const codings: Record<string, [Buffer, number]> = {
    zstd: [zstdCompressSync(body), 0],
    gzip: [gzipSync(body), 0],
    identity: [Buffer.from(body), 0],
    pack200: [Buffer.from(body), 6],
    'cut gzip': [gzipSync(body).subarray(0, -20), 6],
  }
  for (const [coding, [bytes, code]] of Object.entries(codings)) {
    const url = await fakeExports(t, (request, response) => {
      t.equal(request.headers['accept-encoding'], 'zstd, gzip')
      response.writeHead(200, { 'content-encoding': coding.replace('cut ', '') }).end(bytes)
    })
    const out = join(await outFolder(t), 'users.csv')
    t.match(await pull(url, out, { format: 'csv' }), { code }, coding)
    if (code === 0) t.equal((await readFile(out, 'utf8')).split('\n').length, 5)
  }
})
