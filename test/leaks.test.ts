import { createHash } from 'node:crypto'
import { leakIn, type Source } from './leaks.ts'
import { suite } from './suite.ts'

const t = suite()

t.test('each kind of leak is found in logs and in responses', (t) => {
  const table: [line: string, what: string][] = [
    ['{"msg":"refused","key":"reader-s3cret-of-32-characters-or-more"}', 'a key or password'],
    ['{"detail":"TestPass123! is too short"}', 'a key or password'],
    [`{"ENCRYPTION_KEY":"${'e1'.repeat(32)}"}`, 'an encryption key'],
    [Buffer.from('e1'.repeat(32), 'hex').toString('base64'), 'an encryption key in base64'],
    ['{"hash":"$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA"}', 'a hash'],
    ['{"hash":"$2b$10$abcdefghijklmnopqrstuv"}', 'a hash'],
    ['{"hash":"scrypt:32768:8:1$salt$00"}', 'a hash'],
    ['{"hash":"pbkdf2_sha256$600000$salt$hash"}', 'a hash'],
    [`{"hash":"${createHash('md5').digest('hex')}:${createHash('sha512').digest('hex')}"}`, 'a hash'],
    ['{"url":"otpauth://totp/usersync:a?secret=x"}', 'a TOTP secret'],
    ['{"totp_secret":"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"}', 'a TOTP secret'],
    ['{"err":"connect postgres://usersync:pass@db/usersync"}', 'the login of an address'],
    ['{"query":"select id from users where id = $1"}', 'SQL'],
    ['{"query":"INSERT INTO users (id) values ($1)"}', 'SQL'],
    ['{"query":"update users set role = $1"}', 'SQL'],
    ['{"query":"delete from users"}', 'SQL'],
    ['{"message":"Failed query: …"}', 'SQL'],
    ['duplicate key value violates unique constraint "users_pkey"', 'words of PostgreSQL'],
    ['{"message":"relation \\"users\\" does not exist"}', 'words of PostgreSQL'],
    ['syntax error at or near "from"', 'words of PostgreSQL'],
    ['the password of the database is pa55', 'a value'],
  ]
  for (const [line, what] of table) {
    for (const source of ['log', 'answers'] as Source[]) t.equal(leakIn(line, source, ['pa55']), what, line)
  }
  t.end()
})

t.test('a stack frame may appear in a log, but not in a response', (t) => {
  const frames = ['at f (/app/src/app.ts:1:20)', 'at file:///app/src/app.ts:1:20', 'at node:net:10:2', 'node_modules/x']
  for (const line of frames.map((frame) => JSON.stringify({ stack: `Error: x\n    ${frame}` }))) {
    t.equal(leakIn(line, 'answers'), 'a place in the code', line)
    t.equal(leakIn(line, 'log'), undefined, line)
  }
  t.end()
})

t.test('legitimate lines are not reported', (t) => {
  for (const line of [
    '{"level":30,"time":"2026-01-31T12:00:00.000Z","msg":"usersync listens on http://127.0.0.1:3000"}',
    '{"type":"PostgresError","sqlstate":"23505","stack":"    at f (/app/src/app.ts:1:20)"}',
    `{"state":"u1-${'0'.repeat(64)}"}`,
    `{"base":"u1-${'ab'.repeat(32)}"}`,
    '{"detail":"body.config.password must be shorter; take another"}',
    '{"msg":"the users were updated, none was deleted"}',
    'x'.repeat(300),
  ]) {
    t.equal(leakIn(line, 'log'), undefined, line)
  }
  t.end()
})
