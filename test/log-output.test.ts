import { execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { open } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { promisify } from 'node:util'
import { suite } from './suite.ts'

const t = suite()

const run = promisify(execFile)
const LOG = JSON.stringify(new URL('../src/process/log.ts', import.meta.url))

t.test('every line is written in order, including those logged just before the process exits', async (t) => {
  const script = `
    import { createLog } from ${LOG}
    const log = createLog('info', () => ({}))
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
    const log = createLog('info', () => ({}))
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
