import { globSync, readFileSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { suite } from '../suite.ts'

const t = suite()

/* What a later migration may forget: the functions that a worker of Citus cannot run have a second form. */

const MIGRATIONS = resolve(import.meta.dirname, '../../migrations')

/** The functions of a file, with their bodies. */
const functionsOf = (file: string) =>
  [...readFileSync(file, 'utf8').matchAll(/create (?:or replace )?function (\w+)\([^$]*?as \$\$(.*?)\$\$/gs)].map(
    ([, name = '', body = '']) => ({ name, body, file: basename(file) }),
  )

/** The last definition of each function in the migrations. */
const inPostgres = new Map(
  globSync(`${MIGRATIONS}/*.sql`)
    .toSorted()
    .flatMap(functionsOf)
    .map((each) => [each.name, each]),
)
const onWorkers = functionsOf(resolve(MIGRATIONS, 'citus/capture.sql'))

/** The migration that the second form of a function was written for. If a later one replaces the function, change both forms. */
const WRITTEN_FOR: Record<string, string> = {
  capture_insert: '0002_state_capture.sql',
  capture_update: '0002_state_capture.sql',
  capture_delete: '0002_state_capture.sql',
  record_states: '0002_state_capture.sql',
  note_credentials: '0003_protect_users.sql',
}

t.test('every trigger function that reads a transition table has a form for workers, of its last definition', (t) => {
  const needed = [...inPostgres.values()].filter(
    ({ name, body }) => /\b(new|old)_rows\b/.test(body) || name === 'record_states',
  )
  t.strictSame(onWorkers.map(({ name }) => name).toSorted(), needed.map(({ name }) => name).toSorted())
  t.strictSame(Object.fromEntries(needed.map(({ name, file }) => [name, file])), WRITTEN_FOR)
  t.end()
})

t.test('every definer function has the guard that is replaced on a worker', (t) => {
  const guarded = [...inPostgres.values(), ...onWorkers].filter(({ body }) =>
    body.includes('is a trigger of the table'),
  )
  t.ok(guarded.length > 10)
  for (const { name, body } of guarded) t.match(body, /if tg_relid <> '\w+'::regclass then/, name)
  t.end()
})
