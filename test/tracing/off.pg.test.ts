import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { testDatabase } from '../database.ts'
import { recordOf } from '../run-record.ts'
import { startServerProcess } from '../server-process.ts'
import { isFull } from '../size.ts'
import { suite } from '../suite.ts'
import { startCollector } from './collector.ts'

const t = suite()

/* A real process records each module that it loads, in any of its threads. */

const LOADED = new URL('./loaded-modules.ts', import.meta.url).href

/**
 * The OpenTelemetry packages that a service with these settings has loaded after it has answered requests and created
 * users.
 */
async function loaded(t: Test, settings: Record<string, string>): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'usersync-loaded-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const file = join(folder, 'modules')
  const server = await startServerProcess(t, {
    DATABASE_URL: await testDatabase(),
    ENCRYPTION_KEY: 'c3'.repeat(32),
    MAX_WORKERS: '1',
    NODE_OPTIONS: `--import=${LOADED}`,
    LOADED_MODULES: file,
    ...settings,
  })
  const body = JSON.stringify({ count: 3, config: { password_hash: { algorithm: 'none' } } })
  const headers = { 'content-type': 'application/json', prefer: 'wait=30' }
  t.equal((await fetch(`${server.url}/v1/batches`, { method: 'POST', body, headers })).status, 201)
  t.equal(await server.end('SIGTERM'), 0)
  t.match(await recordOf('.log'), `usersync listens on ${server.url}`, 'its log is in the record of the run')
  const modules = await readFile(file, 'utf8')
  t.match(modules, /fastify/, 'the record contains loaded modules')
  return [...new Set(modules.match(/@opentelemetry\/[a-z-]+/g))].sort()
}

t.test('without an endpoint, only the OpenTelemetry package that prom-client needs is loaded', async (t) => {
  t.strictSame(await loaded(t, {}), ['@opentelemetry/api'])
})

// In the small size, the spans of spans.pg.test.ts show that.
if (isFull)
  t.test('with an endpoint, the OpenTelemetry SDK is loaded', async (t) => {
    const { url } = await startCollector(t)
    const packages = await loaded(t, { OTEL_EXPORTER_OTLP_ENDPOINT: url })
    t.ok(packages.includes('@opentelemetry/sdk-trace'), packages.join(', '))
  })
