import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { fillStep, isInStep } from '../../src/leases/fill.ts'
import { connectForLeases } from '../../src/leases/leasing-connections.ts'
import { createLines } from '../../src/leases/lines.ts'
import { startLeaseUpkeep } from '../../src/leases/upkeep.ts'
import { testDatabase } from '../database.ts'
import { suite } from '../suite.ts'

const t = suite()

/* The work in the background, without a service. */

const POOL = 1
const AN_HOUR_MS = 3_600_000

t.test('one round follows many small commits', async (t) => {
  const sql = connectForLeases({ url: await testDatabase(), schema: 'usersync', waitMs: 15_000 })
  t.teardown(() => sql.end())
  const observer = { leasesEnded() {} }
  while (await fillStep(sql, POOL, observer));
  for (let n = 0; n < 84; n++) await sql`insert into users (username, email) values (${n}, ${`${n}@example.com`})`
  const log = pino({ level: 'silent' })
  const lines = createLines(sql, observer)
  const upkeep = startLeaseUpkeep({ sql, lines, observer, retention: 9_000, log }, AN_HOUR_MS)
  t.teardown(() => upkeep.stop())
  for (const deadline = Date.now() + 10_000; !(await isInStep(sql, POOL)) && Date.now() < deadline; ) await sleep(10)
  t.ok(await isInStep(sql, POOL))
})
