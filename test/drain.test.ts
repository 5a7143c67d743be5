import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { drain } from '../src/process/shutdown.ts'
import { suite } from './suite.ts'

const t = suite()

/** A log, and the lines written to it. */
function capturedLog() {
  const lines: { step: string; msg: string }[] = []
  const log = pino({ base: null }, { write: (line: string) => void lines.push(JSON.parse(line)) })
  return { log, lines }
}

t.test('the steps run one after the other', async (t) => {
  const { log, lines } = capturedLog()
  const done: string[] = []
  const step = (name: string, ms: number) => ({
    step: name,
    milliseconds: 1_000,
    run: async () => {
      await sleep(ms)
      done.push(name)
    },
  })
  await drain(log, [step('a', 20), step('b', 1), step('c', 0)])
  t.strictSame(done, ['a', 'b', 'c'])
  t.strictSame(lines, [], 'success is not logged')
})

t.test('a step that fails or times out is logged, and the next step runs', async (t) => {
  const { log, lines } = capturedLog()
  let reached = false
  await drain(log, [
    { step: 'late', milliseconds: 10, run: () => new Promise(() => {}) },
    { step: 'failing', milliseconds: 1_000, run: () => Promise.reject(new Error('no')) },
    {
      step: 'throwing',
      milliseconds: 1_000,
      run: () => {
        throw new Error('no')
      },
    },
    {
      step: 'last',
      milliseconds: 1_000,
      run: () => {
        reached = true
        return Promise.resolve()
      },
    },
  ])
  t.ok(reached)
  t.match(lines, [
    { step: 'late', msg: /shutdown step timed out/ },
    { step: 'failing', msg: /failed/ },
    { step: 'throwing', msg: /failed/ },
  ])
})

t.test('a finished step does not keep the process alive', async (t) => {
  const { log } = capturedLog()
  const timers = () => process.getActiveResourcesInfo().filter((type) => type === 'Timeout').length
  const before = timers() // of earlier files of the lane
  await drain(log, [{ step: 'quick', milliseconds: 3_600_000, run: () => Promise.resolve() }])
  t.ok(timers() <= before, 'its timer is cancelled')
})
