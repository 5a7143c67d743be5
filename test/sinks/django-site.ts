import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { debianProgram } from '../faults/debian-program.ts'
import { freePort } from '../faults/free-port.ts'

const SITE = fileURLToPath(new URL('../../examples/sinks/django/shop.py', import.meta.url))
const python = debianProgram('python3')

/** The version of Django, such as `3.2`. Undefined if it or its driver is not installed. */
export const djangoVersion = versionOf()

function versionOf(): string | undefined {
  if (!python) return undefined
  const script = 'import django, psycopg2; print("%d.%d" % django.VERSION[:2])'
  const { status, stdout } = spawnSync(python, ['-c', script], { encoding: 'utf8' })
  return status === 0 ? stdout.trim() : undefined
}

/** The superuser of the site. */
export const ADMIN = { username: 'admin', email: 'admin@example.org', password: 'the-admins-own-1' }

/** Starts the site of the examples on an empty database: its tables by Django's own migrations, and a superuser. */
export async function startDjangoSite(t: Test, database: string): Promise<string> {
  const env = {
    ...process.env,
    SHOP_DATABASE: database,
    DJANGO_SUPERUSER_PASSWORD: ADMIN.password,
    PYTHONDONTWRITEBYTECODE: '1',
  }
  const start = (...args: string[]) => spawn(python ?? '', [SITE, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  await finished(start('migrate', '--no-input'))
  const { username, email } = ADMIN
  await finished(start('createsuperuser', '--no-input', '--username', username, '--email', email))
  const url = `http://127.0.0.1:${await freePort()}`
  const server = start('runserver', '--noreload', new URL(url).host)
  const ended = once(server, 'close')
  t.teardown(async () => {
    server.kill('SIGKILL')
    await ended
  })
  server.stdout.resume()
  server.stderr.resume() // a line for each request
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; await sleep(50)) {
    const answer = await fetch(`${url}/accounts/login/`).catch(() => undefined)
    if (answer?.ok) return url
    if (server.exitCode !== null) break
  }
  throw new Error('the site did not start')
}

async function finished(child: ChildProcess): Promise<void> {
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (text) => (output += text))
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`manage failed (${code}): ${output}`)
}
