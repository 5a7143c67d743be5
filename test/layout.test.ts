import { globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { FOLDERS, layoutFaults } from '../scripts/layout.ts'
import { suite } from './suite.ts'

const t = suite()

t.test('the layout of the project has no fault', (t) => {
  t.strictSame(layoutFaults(resolve(import.meta.dirname, '..')), [])
  t.end()
})

t.test('every fault of a layout is found', (t) => {
  const root = t.testdir()
  for (const folder of FOLDERS) mkdirSync(join(root, 'src', folder), { recursive: true })
  const write = (path: string, text: string) => writeFileSync(join(root, path), text)
  write('src/errors.ts', '')
  write('src/process/log.ts', "import '../errors.ts'\n")
  write('src/jobs/job.ts', "import { log } from '../process/log.ts'\n".repeat(300))
  t.strictSame(layoutFaults(root), [])

  write('src/process/upward.ts', "import type { Job } from '../jobs/job.ts'\n")
  write('src/http/one.ts', "export { two } from './two.ts'\n")
  write('src/http/two.ts', "const one = await import('./one.ts')\n")
  write('src/http/long.ts', '\n'.repeat(301))
  mkdirSync(join(root, 'src/utils'))
  t.strictSame(layoutFaults(root), [
    'src/utils/ is not in FOLDERS',
    'src/process/upward.ts imports upward from src/jobs/job.ts',
    'import cycle: http/one.ts > http/two.ts > http/one.ts',
    'src/http/long.ts has 301 lines, more than 300',
  ])
  t.end()
})

t.test('only tables.ts and migrate.ts use drizzle, and the service loads no tables', (t) => {
  const cwd = join(import.meta.dirname, '../src')
  const drizzle = /from '(?:drizzle-orm[^']*|[^']*\/(?:tables|columns)\.ts)'/
  const users = globSync('**/*.ts', { cwd }).filter((file) => drizzle.test(readFileSync(join(cwd, file), 'utf8')))
  const mayUse = /(?:^|\/)tables\.ts$|^database\/(?:columns|migrate)\.ts$/
  t.strictSame(
    users.filter((file) => !mayUse.test(file)),
    [],
  )
  t.ok(users.includes('database/migrate.ts'), 'it looks at imports')
  t.end()
})

t.test('only types are imported from node:http, whose import loads Node’s own fetch too', (t) => {
  const cwd = join(import.meta.dirname, '../src')
  const http = /^import (?!type ).*from 'node:http'/m
  t.strictSame(
    globSync('**/*.ts', { cwd }).filter((file) => http.test(readFileSync(join(cwd, file), 'utf8'))),
    [],
  )
  t.end()
})
