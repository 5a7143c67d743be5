import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { jsonApi } from '../../src/sync/kinds/json-api.ts'
import { suite } from '../suite.ts'

const t = suite()

t.test('an answer that arrives byte by byte ends after its time, though the target is never silent', async (t) => {
  const server = createServer(async (_, response) => {
    while (!response.destroyed) {
      response.write(' ')
      await sleep(10)
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.closeAllConnections())
  t.teardown(() => server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const signal = AbortSignal.timeout(5_000)
  const call = jsonApi({ url, headers: {}, answerMs: 50, signal })
  await t.rejects(call({ method: 'GET', path: '/' }), { name: 'PeerError', fault: 'timeout' })
  t.notOk(signal.aborted)
})
