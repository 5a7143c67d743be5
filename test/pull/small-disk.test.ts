import { execFileSync } from 'node:child_process'
import { readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { usersync } from '../cli/call.ts'
import { suite } from '../suite.ts'
import { fakeService, fullOf, lineOf } from './fake-service.ts'
import { outFolder, pull } from './pull-process.ts'

const t = suite()

/* A disk that is too small, or has no room at all. */

const DISK_MB = 8
const INODES = 10

/** A small file system needs root. It is removed at the end of the test. */
const disk = await outFolder(t)
let skip: string | false = false
try {
  const options = `size=${DISK_MB}m,nr_inodes=${INODES},mode=755`
  execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', disk], { stdio: 'pipe' })
  t.teardown(() => execFileSync('umount', ['-l', disk]))
} catch {
  skip = 'cannot mount a file system here: needs root, and a container that allows it'
}

const out = join(disk, 'users.ndjson')
const lines = Array.from({ length: 100 }, (_, n) => lineOf(n + 1, 'x'.repeat(50_000)))
const url = await fakeService(t, (_, response) => void response.end(fullOf(lines)))

t.test('a tenth of a small disk stays free', { skip }, async (t) => {
  t.match(await pull({ url, out }), { code: 7, output: /has less than 1 MB left/ })
  t.strictSame(await readdir(disk), ['users.ndjson.lock'])
  await rm(`${out}.lock`)
})

t.test('a disk without a byte left, or on which no file can be created, is full', { skip }, async (t) => {
  const isFull = async () => {
    t.match(await pull({ url, out }), { code: 7, output: /the disk of \S+ is full/ })
    t.match(await usersync(['users', 'export', out, '--url', url]), { code: 7, err: /ENOSPC/ })
  }
  const ballast = join(disk, 'ballast')
  await writeFile(ballast, Buffer.alloc(DISK_MB * 1_048_576))
  await isFull()
  await rm(ballast)
  for (const name of await readdir(disk)) await rm(join(disk, name))
  for (let n = 1; n < INODES; n++) await writeFile(join(disk, String(n)), '')
  await isFull()
})
