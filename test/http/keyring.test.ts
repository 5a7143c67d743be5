import { mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { openKeyring } from '../../src/auth/keyring.ts'
import { parseApiKeys } from '../../src/config/api-keys.ts'
import { suite } from '../suite.ts'

const t = suite()

const folder = await mkdtemp(join(tmpdir(), 'usersync-keys-'))
t.teardown(() => rm(folder, { recursive: true }))
const secretOf = (name: string) => `${name}-s3cret-of-32-characters-or-more`
const line = (name: string) => `${name}=users:read=${secretOf(name)}`

function logged() {
  const lines: string[] = []
  return { lines, log: pino({}, { write: (text: string) => void lines.push(text) }) }
}

t.test('changes of the key file are loaded, and an invalid file changes nothing', async (t) => {
  const file = join(folder, 'followed')
  await writeFile(file, `# load generators\n\n${line('one')}\r\n  ${line('two')}\n`)
  const { lines, log } = logged()
  const keyring = await openKeyring({ configured: parseApiKeys(line('root')), file }, log, 50)
  t.teardown(() => keyring.stop())
  const names = () => keyring.keys().map(({ name }) => name)
  t.strictSame(names(), ['root', 'one', 'two'])

  const becomes = async (expected: string[]) => {
    for (const deadline = Date.now() + 8_000; Date.now() < deadline && `${names()}` !== `${expected}`; ) await sleep(5)
    t.strictSame(names(), expected)
  }
  /** Replaces the file at once: a reader never sees half of it. */
  const put = async (text: string) => {
    await writeFile(join(folder, 'put'), text)
    await rename(join(folder, 'put'), file)
  }
  await put(line('three'))
  await becomes(['root', 'three'])
  // Kubernetes replaces a secret with a symbolic link.
  await writeFile(join(folder, 'new'), line('four'))
  await symlink(join(folder, 'new'), join(folder, 'link'))
  await rename(join(folder, 'link'), file)
  await becomes(['root', 'four'])

  const untilLogged = async (count: number) => {
    for (const deadline = Date.now() + 8_000; Date.now() < deadline && lines.length < count; ) await sleep(5)
  }
  const slips = [
    '',
    `bad=users:fly=${secretOf('bad')}`,
    line('root'),
    `${line('five')}   # the pipeline`,
    `five=users:read=${secretOf('root')}`,
  ]
  for (const slip of slips) {
    const before = lines.length
    await put(slip)
    await untilLogged(before + 1)
    t.strictSame(names(), ['root', 'four'], slip)
    t.equal(lines.length, before + 1, 'a log line reports it')
  }
  const before = lines.length
  await rm(file)
  await untilLogged(before + 1)
  await sleep(100) // some more reads
  t.strictSame(names(), ['root', 'four'])
  t.equal(lines.filter((text) => text.includes('cannot be read')).length, 1, 'it is reported once')
  t.notMatch(lines.join(''), /s3cret-of-32/)
})

t.test('at the start the key file must be valid', async (t) => {
  const { log } = logged()
  const configured = parseApiKeys(line('root'))
  const faulty: [string, RegExp][] = [
    ['', /has no key/],
    ['# none\n', /has no key/],
    ['x=users:read=short', /key x whose secret is shorter/],
    [`${line('x')}   # the pipeline`, /key x whose secret contains whitespace.*put a comment on its own line/],
    [`${line('x')}é`, /key x whose secret contains .*not visible ASCII/],
    [`${line('x')}\ny=users:write=${secretOf('x')}`, /key y with the secret of the key x;/],
    [`x=users:read=${secretOf('root')}`, /key x with the secret of the key root;/],
  ]
  for (const [text, message] of faulty) {
    const file = join(folder, 'start')
    await writeFile(file, text)
    const error = (await t.rejects(openKeyring({ configured, file }, log), { message })) as Error
    t.notMatch(error.message, /s3cret-of-32/)
  }
  await t.rejects(openKeyring({ configured: [], file: join(folder, 'none') }, log), { message: /ENOENT/ })
})
