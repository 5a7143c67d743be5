import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { debianProgram } from './debian-program.ts'
import { freePort } from './free-port.ts'

export const NGINX = debianProgram('nginx')

const DOCUMENTED = new URL('../../docs/nginx.conf', import.meta.url)

export interface Nginx {
  url: string
  /** The faults in its error log, with their counts: requests that the first replica did not answer. */
  faults(): Promise<Record<string, number>>
}

/**
 * Starts nginx with `docs/nginx.conf` in front of the replicas on these ports. It is stopped and its folder removed at
 * the end of the test.
 */
export async function startNginx(t: Test, [first, second]: [number, number]): Promise<Nginx> {
  const folder = await mkdtemp(join(tmpdir(), 'usersync-nginx-'))
  const port = await freePort()
  const documented = await readFile(DOCUMENTED, 'utf8')
  const site = documented
    .replace('127.0.0.1:3000 ', `127.0.0.1:${first} `)
    .replace('127.0.0.1:3001 ', `127.0.0.1:${second} `)
    .replace('listen 127.0.0.1:8080;', `listen 127.0.0.1:${port};`)
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((what) => `${what}_temp_path ${what};`)
  await writeFile(join(folder, 'site.conf'), site)
  await writeFile(
    join(folder, 'nginx.conf'),
    `daemon off;
master_process off;
pid nginx.pid;
error_log error.log;
events {}
http {
  access_log off;
  ${temporary.join('\n  ')}
  include site.conf;
}
`,
  )
  const child = spawn(NGINX ?? '', ['-p', folder, '-c', 'nginx.conf', '-e', 'error.log'], { stdio: 'ignore' })
  const ended = new Promise((resolve) => void child.once('exit', resolve))
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
    await rm(folder, { recursive: true, force: true })
  })
  const errors = () => readFile(join(folder, 'error.log'), 'utf8')
  const url = `http://127.0.0.1:${port}`
  for (const deadline = Date.now() + 20_000; !(await answers(url)); await sleep(50)) {
    if (Date.now() > deadline || child.exitCode !== null) throw new Error(`nginx does not start: ${await errors()}`)
  }
  return {
    url,
    async faults() {
      const faults: Record<string, number> = {}
      for (const [, fault = ''] of (await errors()).matchAll(/^\S+ \S+ \[error\] \S+ \*\d+ ([^,]+),/gm))
        faults[fault] = (faults[fault] ?? 0) + 1
      return faults
    },
  }
}

const answers = (url: string) =>
  fetch(`${url}/livez`).then(
    () => true,
    () => false,
  )
