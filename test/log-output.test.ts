import { execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { promisify, stripVTControlCharacters } from 'node:util'
import { CHILD_ENV } from './child-env.ts'
import { suite } from './suite.ts'

const t = suite()

const run = promisify(execFile)
const LOG = JSON.stringify(new URL('../src/process/log.ts', import.meta.url))

t.test('every line is written in order, including those logged just before the process exits', async (t) => {
  const script = `
    import { createLog } from ${LOG}
    const log = await createLog({ logLevel: 'info', logFormat: 'auto' }, () => ({}))
    for (let turn = 0; turn < 3; turn++) {
      for (let i = 0; i < 1000; i++) log.info(turn + ' ' + i)
      if (turn < 2) await new Promise((resolve) => setImmediate(resolve))
    }
    log.fatal('last')
    process.exit(1)`
  const args = ['--input-type=module', '-e', script]
  const { stdout, code } = await run(process.execPath, args, { maxBuffer: 1e7 }).catch((error) => error)
  const messages = [0, 1, 2].flatMap((turn) => Array.from({ length: 1000 }, (_, i) => `${turn} ${i}`))
  const lines: { msg: string }[] = stdout
    .trimEnd()
    .split('\n')
    .map((line: string) => JSON.parse(line))
  t.strictSame(
    lines.map(({ msg }) => msg),
    [...messages, 'last'],
  )
  t.equal(code, 1)
})

const skip = existsSync('/dev/full') ? false : '/dev/full does not exist here'

t.test('a full disk loses log lines, but does not stop the process', { skip }, async (t) => {
  const script = `
    import { createLog } from ${LOG}
    const log = await createLog({ logLevel: 'info', logFormat: 'auto' }, () => ({}))
    for (let i = 0; i < 3; i++) {
      log.info('lost')
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    console.error('still here')`
  const full = await open('/dev/full', 'w') // each write to it fails with ENOSPC
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', full.fd, 'pipe'] })
  t.match(await text(child.stderr as Readable), /still here/)
  await full.close()
})

/** Logs two lines in each format of its arguments. */
const LINES = `
  import { createLog } from ${LOG}
  for (const logFormat of process.argv.slice(2)) {
    const log = await createLog({ logLevel: 'info', logFormat }, ({ name, stack }) => ({ type: name, stack }))
    log.info({ method: 'GET', status: 200 }, 'request')
    log.error({ err: new RangeError('too large') }, 'sync run failed \\x1b[2J')
  }
  process.exit(1)`

/** What LINES logs as text, without colors. */
const TEXT = [
  /^\[\d\d:\d\d:\d\d\.\d{3}\] INFO: request \{"method":"GET","status":200\}$/m,
  /^\[\d\d:\d\d:\d\d\.\d{3}\] ERROR: sync run failed \[2J *$/m,
  /^\s+RangeError: too large\n\s+at file:/m,
]

/** Returns what a program writes to standard output, without an environment that decides about colors. */
async function outputOf(program: string, args: string[]): Promise<string> {
  const env = { ...CHILD_ENV, TERM: 'xterm' }
  return ((await run(program, args, { env }).catch((error) => error)) as { stdout: string }).stdout
}

t.test('to a pipe the log is JSON, or text without colors if the setting says so', async (t) => {
  const program = join(t.testdir({ 'lines.ts': LINES }), 'lines.ts')
  const [auto1, auto2, json1, json2, ...rest] = (
    await outputOf(process.execPath, [program, 'auto', 'json', 'text'])
  ).split('\n')
  for (const lines of [
    [auto1, auto2],
    [json1, json2],
  ]) {
    t.match(
      lines.map((line) => JSON.parse(line ?? '')),
      [
        { level: 30, msg: 'request', status: 200 },
        { level: 50, err: { type: 'RangeError' } },
      ],
    )
  }
  for (const line of TEXT) t.match(rest.join('\n'), line)
})

const noScript = (await outputOf('script', ['--version'])).includes('util-linux')
  ? false
  : 'there is no script of util-linux'

t.test('on a terminal the log is text in colors, written to the end', { skip: noScript }, async (t) => {
  const program = join(t.testdir({ 'lines.ts': LINES }), 'lines.ts')
  const command = `'${process.execPath}' '${program}' json auto`
  const output = (await outputOf('script', ['-qec', command, '/dev/null'])).replaceAll('\r', '')
  const [json = '', , ...rest] = output.split('\n')
  t.match(JSON.parse(json), { level: 30, msg: 'request' })
  const text = rest.join('\n')
  t.not(text, stripVTControlCharacters(text))
  for (const line of TEXT) t.match(stripVTControlCharacters(text), line)
})
