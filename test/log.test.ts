import { pino } from 'pino'
import postgres from 'postgres'
import { loggableError } from '../src/database/loggable-error.ts'
import { createLog } from '../src/process/log.ts'
import { suite } from './suite.ts'

const t = suite()

/** As the driver makes it from what PostgreSQL says. */
function postgresError(message: string): Error {
  const PostgresError = postgres.PostgresError as unknown as new (said: object) => Error
  const detail = 'Key (email)=(alice@example.com) already exists.'
  return new PostgresError({ code: '23505', message, detail, query: 'insert into users', parameters: ['alice'] })
}

t.test('of PostgreSQL’s errors, also wrapped ones, only the SQLSTATE and the places are logged', (t) => {
  const cause = postgresError('value "alice" is taken')
  for (const error of [cause, new Error('alice could not be saved', { cause })]) {
    const logged = loggableError(error)
    t.match(logged, { type: 'PostgresError', sqlstate: '23505', stack: /log\.test\.ts/ })
    t.notMatch(JSON.stringify(logged), /alice|insert|Key|taken/)
  }
  t.end()
})

t.test('a value that looks like a place in the code is not logged either', (t) => {
  const cause = postgresError('invalid input syntax for type integer: "1\n    at alice (secret.ts:1:1)"')
  t.notMatch(JSON.stringify(loggableError(cause)), /alice/)
  t.end()
})

t.test('other errors are logged whole, and what is no error by its type alone', (t) => {
  t.match(loggableError(new RangeError('out of memory')), {
    type: 'RangeError',
    message: 'out of memory',
    stack: /at /,
  })
  t.strictSame(loggableError('a secret text'), { type: 'string' })
  t.strictSame(loggableError(undefined), { type: 'undefined' })
  t.end()
})

t.test('the log takes the level of the setting, and writes errors this way', (t) => {
  t.equal(createLog('warn', loggableError).level, 'warn')
  const lines: string[] = []
  const log = pino({ serializers: { err: loggableError } }, { write: (line: string) => void lines.push(line) })
  log.error({ err: postgresError('alice') }, 'failed')
  t.match(JSON.parse(lines[0] ?? ''), { msg: 'failed', err: { sqlstate: '23505' } })
  t.notMatch(lines[0], /alice/)
  t.end()
})
