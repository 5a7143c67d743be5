import { resolve } from 'node:path'
import { suite } from '../suite.ts'
import { formFaults, sqlTexts } from './sql-forms.ts'

const t = suite()

/* Every statement of the service runs on PostgreSQL and on Citus. test/citus/ runs them there, if there is a server. */

const texts = sqlTexts(resolve(import.meta.dirname, '../../src'))

t.test('all SQL of the service has forms that Citus takes', (t) => {
  t.ok(texts.length > 300, `${texts.length} texts`)
  t.strictSame(
    texts.flatMap(({ file, text }) => formFaults(text).map((why) => `${file}: ${why}: ${text}`)),
    [],
  )
  t.end()
})

t.test('the forms that Citus refuses are found', (t) => {
  for (const [text, why] of [
    [`select set_config('lock_timeout', $, true)`, /set_config/],
    ['set constraints all immediate', /SET CONSTRAINTS/],
    ['update targets set next_run_at = now() + 0.1 * random() where next_run_at <= now()', /volatile/],
    [
      'with ended as ( update leases x set ended_at = now() where x.expires_at > clock_timestamp() ) select 1',
      /volatile/,
    ],
    ['update pools set replica_since = coalesce(replica_since, now()) where id = $', /CASE or COALESCE/],
    ['update targets set next_run_at = case when interval_seconds > 0 then now() end', /CASE or COALESCE/],
    ['insert into t (a) values ($) on conflict (a) do update set at = now()', /DO UPDATE SET/],
    ['insert into t (a) values ($) on conflict (a) do update set b = exists (select from u)', /DO UPDATE SET/],
    ['insert into pools (name) values ($) returning rfc3339(created_at)', /RETURNING/],
    ['update users u set role = $ returning $userline() as line', /RETURNING/],
    ['select u.id from users u left join staged_users s on s.id = u.id', /temporary/],
  ] as const) {
    t.match(formFaults(text).join(), why, text)
  }
  t.end()
})

t.test('other forms are not', (t) => {
  for (const text of [
    'update pools set replica_since = least(replica_since, now()) where id = $',
    'with moment as (select clock_timestamp() as at) update batches set finished_at = moment.at from moment',
    'update leases x set expires_at = (select at from moment) + $ where x.id = (select id from locked)',
    'insert into t (a) values ($) on conflict (a) do update set at = excluded.at where t.at < now() returning id',
    'with made as (insert into pools (name) values ($) returning *) select rfc3339(created_at) from made',
    'select u.id from users u left join (select * from staged_users offset 0) s on s.id = u.id',
  ]) {
    t.strictSame(formFaults(text), [], text)
  }
  t.end()
})
