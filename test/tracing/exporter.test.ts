import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { startTracing, tracesUrl } from '../../src/telemetry/tracing.ts'
import { suite } from '../suite.ts'
import { startCollector } from './collector.ts'

const t = suite()

t.test('the URL for traces is derived from the base URL', (t) => {
  const addresses = {
    'http://collector:4318': 'http://collector:4318/v1/traces',
    'http://collector:4318/': 'http://collector:4318/v1/traces',
    'https://collector/mycollector/': 'https://collector/mycollector/v1/traces',
    'https://collector/mycollector': 'https://collector/mycollector/v1/traces',
    'https://name:password@collector/?token=x': 'https://name:password@collector/v1/traces?token=x',
  }
  for (const [endpoint, address] of Object.entries(addresses)) t.equal(tracesUrl(endpoint), address)
  t.end()
})

t.test('a collector that rejects spans is logged once, without secrets', async (t) => {
  const secrets = ['name-of-the-collector', 'password-of-the-collector', 'token-of-the-collector'] as const
  const [username, password, token] = secrets
  const collector = await startCollector(t)
  collector.answer = (_request, response) => {
    response.writeHead(401, password).end(JSON.stringify({ message: secrets.join(' ') }))
  }
  const lines: string[] = []
  const log = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) })
  const endpoint = Object.assign(new URL(`/${token}?token=${token}`, collector.url), { username, password })
  const tracing = startTracing(endpoint.href, log)
  const trace = () =>
    tracing.chunkEnded(
      '01a202c7-1954-7bfb-8ad5-0f2d00000000',
      { outcome: 'retry', code: 'held_up', reason: '40001' },
      performance.now(),
    )
  for (const deadline = Date.now() + 20_000; collector.requests.length < 3 && Date.now() < deadline; await sleep(50))
    trace()
  trace()
  await tracing.stop() // sends the last one, and succeeds
  t.match(collector.requests[2], {
    path: `/${token}/v1/traces?token=${token}`,
    headers: { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` },
  })
  const [line = '', ...others] = lines
  t.match(JSON.parse(line), { level: 40, lost: Number, reason: 401, msg: 'spans not sent to the collector' })
  t.strictSame(others, [])
  for (const secret of secrets) t.notOk(line.includes(secret))
})
