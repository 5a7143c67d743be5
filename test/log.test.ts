import { pino } from 'pino'
import postgres from 'postgres'
import { PeerError } from '../src/client/peer.ts'
import { loggableError } from '../src/database/loggable-error.ts'
import { Problem } from '../src/errors.ts'
import { createLog } from '../src/process/log.ts'
import { suite } from './suite.ts'

const t = suite()

/** An error as the driver creates it from a message of PostgreSQL. */
function postgresError(message: string): Error {
  const PostgresError = postgres.PostgresError as unknown as new (fields: object) => Error
  const detail = 'Key (email)=(alice@example.com) already exists.'
  return new PostgresError({ code: '23505', message, detail, query: 'insert into users', parameters: ['alice'] })
}

t.test('of a PostgreSQL error, wrapped or not, only the SQLSTATE and the stack frames are logged', (t) => {
  const cause = postgresError('value "alice" is taken')
  for (const error of [cause, new Error('alice could not be saved', { cause })]) {
    const logged = loggableError(error)
    t.match(logged, { type: 'PostgresError', sqlstate: '23505', stack: /log\.test\.ts/ })
    t.notMatch(JSON.stringify(logged), /alice|insert|Key|taken/)
  }
  t.end()
})

t.test('a value that looks like a stack frame is not logged', (t) => {
  const cause = postgresError('invalid input syntax for type integer: "1\n    at alice (secret.ts:1:1)"')
  t.notMatch(JSON.stringify(loggableError(cause)), /alice/)
  t.end()
})

t.test('other errors are logged completely; a thrown value that is not an error is logged by its type only', (t) => {
  t.match(loggableError(new RangeError('out of memory')), {
    type: 'RangeError',
    message: 'out of memory',
    stack: /at /,
  })
  const cause = new PeerError('unreachable', 'The connection failed (ECONNREFUSED).')
  const logged = loggableError(new Problem('target_failed', `unreachable: ${cause.message}`, { cause }))
  t.match(logged, { message: 'unreachable: The connection failed (ECONNREFUSED).', stack: /caused by: PeerError/ })
  t.strictSame(loggableError('a secret text'), { type: 'string' })
  t.strictSame(loggableError(undefined), { type: 'undefined' })
  t.end()
})

t.test('the log has the configured level and serializes errors with loggableError', async (t) => {
  t.equal((await createLog({ logLevel: 'warn', logFormat: 'json' }, loggableError)).level, 'warn')
  const lines: string[] = []
  const log = pino({ serializers: { err: loggableError } }, { write: (line: string) => void lines.push(line) })
  log.error({ err: postgresError('alice') }, 'failed')
  t.match(JSON.parse(lines[0] ?? ''), { msg: 'failed', err: { sqlstate: '23505' } })
  t.notMatch(lines[0], /alice/)
})
