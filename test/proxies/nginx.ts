import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { debianProgram } from '../faults/debian-program.ts'
import { freePort } from '../faults/free-port.ts'
import { replaceAll } from './replace-all.ts'

const PROGRAM = debianProgram('nginx')

/** nginx's JavaScript module, beside the program. */
const NJS = PROGRAM && resolve(PROGRAM, '../../lib/nginx/modules/ngx_http_js_module.so')

/** For `skip`. */
export const NO_NGINX = PROGRAM ? false : 'nginx is not here (Debian: apt-get install nginx)'
export const NO_NJS =
  NO_NGINX || (NJS && existsSync(NJS)) ? NO_NGINX : 'njs is not here (Debian: apt-get install libnginx-mod-http-js)'

const DOCS = new URL('../../docs/', import.meta.url)

interface Site {
  /** The file in docs/ that the http block includes. */
  file: string
  /** Texts of that file, and what stands there in the test: ports. */
  replace: Record<string, string>
  /** Other files beside nginx.conf: those in docs/ that `file` names, or with their text. */
  beside?: Record<string, string | undefined>
  njs?: boolean
}

export interface Nginx {
  url: string
  /** Where nginx.conf, the other files and nginx.pid are. */
  folder: string
  /** The command line of this nginx, for signals. */
  command: string[]
  /** The faults in its error log, with their counts: requests that the first replica did not answer. */
  faults(): Promise<Record<string, number>>
}

/**
 * Starts nginx with a configuration of docs/ on a free port, with a master process and two workers, so that it can be reloaded. It is stopped
 * and its folder removed at the end of the test.
 */
export async function startNginx(t: Test, { file, replace, beside = {}, njs = false }: Site): Promise<Nginx> {
  if (!PROGRAM) throw new Error('nginx is not here (Debian: apt-get install nginx)')
  const folder = await mkdtemp(join(tmpdir(), 'usersync-nginx-'))
  const port = await freePort()
  const documented = await readFile(new URL(file, DOCS), 'utf8')
  const site = replaceAll(documented, { ...replace, 'listen 127.0.0.1:8080': `listen 127.0.0.1:${port}` })
  await writeFile(join(folder, 'site.conf'), site)
  for (const [name, text] of Object.entries(beside)) {
    await writeFile(join(folder, name), text ?? (await readFile(new URL(name, DOCS))))
  }
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((what) => `${what}_temp_path ${what};`)
  await writeFile(
    join(folder, 'nginx.conf'),
    `${njs ? `load_module ${NJS};\n` : ''}daemon off;
pid nginx.pid;
error_log error.log;
worker_processes 2;
worker_rlimit_nofile ${MAX_FILES};
${process.getuid?.() === 0 ? 'user root; # the folder belongs to it' : ''}
events { worker_connections ${MAX_FILES}; }
http {
  access_log off;
  ${temporary.join('\n  ')}
  include site.conf;
}
`,
  )
  const command = [PROGRAM, '-p', folder, '-c', 'nginx.conf', '-e', 'error.log']
  const child = spawn(PROGRAM, command.slice(1), { stdio: 'ignore', detached: true })
  const ended = new Promise((resolve) => void child.once('exit', resolve))
  t.teardown(async () => {
    if (child.pid && child.exitCode === null) process.kill(-child.pid, 'SIGKILL') // the workers too
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
    folder,
    command,
    async faults() {
      const faults: Record<string, number> = {}
      for (const [, fault = ''] of (await errors()).matchAll(/^\S+ \S+ \[error\] \S+ \*\d+ ([^,]+),/gm))
        faults[fault] = (faults[fault] ?? 0) + 1
      return faults
    },
  }
}

const MAX_FILES = 15_000

const answers = (url: string) =>
  fetch(`${url}/livez`).then(
    () => true,
    () => false,
  )
