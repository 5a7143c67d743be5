import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'

const run = promisify(execFile)
const LOG = JSON.stringify(new URL('../src/log.ts', import.meta.url))

t.test('every line comes out, in order, also those of the turn in which the process exits', async (t) => {
  const script = `
    import { createLog } from ${LOG}
    const log = createLog('info')
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
