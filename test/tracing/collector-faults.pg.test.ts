import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { testDatabase } from '../database.ts'
import { startService } from '../http/service.ts'
import { startServerProcess } from '../server-process.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { startCollector } from './collector.ts'

const t = suite()

/* A silent or missing collector does not affect users of the service. */

/** Sends requests while the service tries to send spans. */
async function answers(t: Test, url: string): Promise<void> {
  let slowest = 0
  for (let round = 0; round < sized(3, 6); round++) {
    const begun = performance.now()
    const answers = await Promise.all(Array.from({ length: 20 }, () => fetch(`${url}/v1/pools`)))
    await Promise.all(answers.map((answer) => answer.text()))
    slowest = Math.max(slowest, performance.now() - begun)
    t.ok(answers.every(({ status }) => status === 200))
    await sleep(300) // it tries to send meanwhile
  }
  t.ok(slowest < 5_000, `20 requests took at most ${Math.round(slowest)} ms`)
}

t.test('a collector that never responds does not affect requests or the shutdown', async (t) => {
  const collector = await startCollector(t)
  collector.answer = () => {}
  const DATABASE_URL = await testDatabase()
  const settings = { DATABASE_URL, ENCRYPTION_KEY: 'c3'.repeat(32), MAX_WORKERS: '1' }
  const server = await startServerProcess(t, { ...settings, OTEL_EXPORTER_OTLP_ENDPOINT: collector.url })
  await answers(t, server.url)
  const begun = performance.now()
  t.equal(await server.end('SIGTERM'), 0)
  const ms = Math.round(performance.now() - begun)
  t.ok(ms < 10_000, `it exited after ${ms} ms`)
  t.ok(collector.requests.length > 0)
})

t.test('a missing collector does not affect requests or the shutdown', async (t) => {
  let begun = Number.NaN
  await t.test('requests', async (t) => {
    const settings = { MAX_WORKERS: '1', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' }
    await answers(t, (await startService(t, settings)).url)
    begun = performance.now()
  })
  const ms = Math.round(performance.now() - begun)
  t.ok(ms < 10_000, `it stopped after ${ms} ms`)
})
