import { setTimeout as sleep } from 'node:timers/promises'
import { startMemoryGuard } from '../src/process/memory-guard.ts'
import { startService } from './http/service.ts'
import { sharedService } from './http/shared-service.ts'
import { scrapeUntil } from './metrics/scrape.ts'
import { suite } from './suite.ts'

const t = suite()

const until = async (condition: () => boolean) => {
  for (let i = 0; i < 300 && !condition(); i++) await sleep(100)
}

t.test('crossing the memory limit raises an alert, and falling below it ends the alert', async (t) => {
  const lines: string[] = []
  const log = {
    warn: (_: object, text: string) => lines.push(text),
    info: (_: object, text: string) => lines.push(text),
    debug() {},
  }
  const headroom = 100 * 1_048_576
  const guard = startMemoryGuard(process.memoryUsage.rss() + headroom, () => false, log as never)
  t.teardown(guard.stop)
  t.notOk(guard.isOver())
  let ballast: Buffer[] = Array.from({ length: 10 }, () => Buffer.alloc(20 * 1_048_576, 1))
  await until(guard.isOver)
  t.ok(guard.isOver(), `over with ${ballast.length} buffers`)
  t.equal(guard.alerts(), 1)
  ballast = []
  await until(() => !guard.isOver())
  t.notOk(guard.isOver(), 'memory is freed even if nothing else allocates')
  t.match(lines, [/above its limit/, /below its limit/])
})

t.test('no collection is forced while worker threads are at work, and below the limit only if wanted', async (t) => {
  let isAtWork = true
  const collections: [guard: string, isAtWork: boolean][] = []
  const start = (name: string, limitBytes: number) => {
    const log = { warn() {}, info() {}, debug: () => collections.push([name, isAtWork]) }
    const guard = startMemoryGuard(limitBytes, () => isAtWork, log as never)
    t.teardown(async () => guard.stop())
    return guard
  }
  start('above', 1)
  start('below', Number.MAX_SAFE_INTEGER)
  start('trims', Number.MAX_SAFE_INTEGER).trimWhileIdle()
  await sleep(3_000) // an idle process is collected after 2 s
  isAtWork = false
  await until(() => new Set(collections.map(([name]) => name)).size > 1)
  t.strictSame(new Set(collections.map(([name]) => name)), new Set(['above', 'trims']))
  t.notOk(collections.some(([, atWork]) => atWork))
})

t.test('above the memory limit new work is rejected, and accepted work is kept', async (t) => {
  const roomy = await sharedService(t)
  const full = await startService(t, { DATABASE_URL: roomy.databaseUrl, MEMORY_LIMIT_MB: '128' })
  await until(full.memory.isOver)
  const refusal = { status: 503, headers: { 'retry-after': '5' }, json: { code: 'overloaded' } }
  t.match(await full.call('POST', '/v1/batches', { body: { count: 10 } }), refusal)
  t.match(await full.call('GET', '/v1/users/export'), refusal)
  t.match(await full.call('GET', '/readyz'), { status: 200, json: { status: 'ready' } }, 'the service still responds')
  t.match(await full.call('GET', '/healthz'), { status: 200, json: { status: 'ready', warnings: ['memory'] } })
  t.equal((await full.call('GET', '/livez')).status, 200)
  const over = await scrapeUntil(full, (now) => now.value('usersync_memory_over_limit') === 1)
  t.equal(over.value('usersync_memory_over_limit'), 1, 'a scrape is not rejected as work')
  t.equal((await full.call('GET', '/v1/users')).status, 200, 'cheap requests still work')

  const headers = { prefer: 'wait=20' }
  const made = await roomy.call('POST', '/v1/batches', { body: { count: 10 }, headers })
  t.match(made, { status: 201, json: { created_count: 10 } })
  t.equal((await full.call('GET', '/v1/states/current')).status, 200)
})
