import { PassThrough } from 'node:stream'
import { pino } from 'pino'
import t from 'tap'
import { RequestLogger } from '../../src/http/request-logger.ts'

/** A request's log at this level, and the lines that were written. */
function recorded(level: string) {
  const output = new PassThrough()
  const log = new RequestLogger(pino({ level, base: null, timestamp: false }, output), { reqId: 'one' })
  const lines = () =>
    String(output.read() ?? '')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as object)
  return { log, lines }
}

t.test('each line of each level has the bindings, what is told and the message', (t) => {
  const { log, lines } = recorded('trace')
  const levels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const
  for (const level of levels) log[level]({ told: level }, 'said')
  log.info('%s said', 'only')
  const expected = levels.map((told, place) => ({ level: 10 * (place + 1), reqId: 'one', told, msg: 'said' }))
  t.strictSame(lines(), [...expected, { level: 30, reqId: 'one', msg: 'only said' }])
  t.end()
})

t.test('below its level nothing is written', (t) => {
  const { log, lines } = recorded('warn')
  log.info({ told: 1 }, 'said')
  log.debug('said')
  log.silent()
  t.strictSame(lines(), [])
  t.equal(log.level, 'warn')
  t.end()
})

t.test('a child has its bindings besides', (t) => {
  const { log, lines } = recorded('info')
  log.child({ trace_id: 'two' }).info('said')
  t.strictSame(lines(), [{ level: 30, reqId: 'one', trace_id: 'two', msg: 'said' }])
  t.end()
})
