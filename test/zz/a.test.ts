import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
t.setTimeout(8_000)
t.test('slow', async (t) => { await sleep(3000); t.ok(1) })
