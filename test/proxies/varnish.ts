import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { debianProgram } from '../faults/debian-program.ts'
import { freePort } from '../faults/free-port.ts'
import { replaceAll } from './replace-all.ts'

const PROGRAM = debianProgram('varnishd')

/** For `skip`. */
export const NO_VARNISH = PROGRAM ? false : 'varnishd is not here (Debian: apt-get install varnish)'

/** Those in the comment of docs/varnish.vcl. */
const DOCUMENTED_PARAMETERS = ['-p', 'http_gzip_support=off', '-p', 'timeout_linger=0']

const DOCUMENTED = new URL('../../docs/varnish.vcl', import.meta.url)

/**
 * Starts Varnish with docs/varnish.vcl in front of a service, with these texts of it replaced. It is stopped and its folder removed at the
 * end of the test.
 */
export async function startVarnish(
  t: Test,
  service: string,
  replace: Record<string, string> = {},
): Promise<{ url: string }> {
  if (!PROGRAM) throw new Error('varnishd is not here (Debian: apt-get install varnish)')
  const folder = await mkdtemp(join(tmpdir(), 'usersync-varnish-'))
  const port = await freePort()
  const file = join(folder, 'usersync.vcl')
  await writeFile(
    file,
    replaceAll(await readFile(DOCUMENTED, 'utf8'), {
      '.port = "3000"': `.port = "${new URL(service).port}"`,
      ...replace,
    }),
  )
  const parameters = ['-f', file, '-a', `127.0.0.1:${port}`, '-s', 'malloc,512m', ...DOCUMENTED_PARAMETERS]
  // In the foreground, in its own folder, without the users that the package makes and without an administration port.
  const child = spawn(PROGRAM, ['-F', '-n', join(folder, 'work'), '-j', 'none', '-T', 'none', ...parameters])
  let output = ''
  child.stderr.on('data', (text) => {
    output += text
  })
  child.stdout.resume()
  const ended = new Promise((resolve) => void child.once('exit', resolve))
  t.teardown(async () => {
    child.kill('SIGTERM') // ends the process that serves too
    await ended
    await rm(folder, { recursive: true, force: true })
  })
  const url = `http://127.0.0.1:${port}`
  const answers = () =>
    fetch(`${url}/livez`).then(
      ({ ok }) => ok,
      () => false,
    )
  // It compiles its configuration with a C compiler first.
  for (const deadline = Date.now() + 60_000; !(await answers()); await sleep(50)) {
    if (Date.now() > deadline || child.exitCode !== null) throw new Error(`varnishd does not start: ${output}`)
  }
  return { url }
}
