import type { Test } from 'tap'
import {
  ARTILLERY_LEASES,
  checkLeases,
  JMETER_STS,
  type LeaseExample,
  LOCUST_LEASES,
} from '../../examples/check/leases.ts'
import { startService } from '../http/service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()

/*
 * The examples that lease accounts log in to a system under test that refuses a second session of an account. Load generators take
 * seconds to start, so they run at full size only.
 */

const { url } = await startService(t, { MAX_WORKERS: '1' })
const place = (t: Test) => ({ folder: t.testdir(), signal: AbortSignal.timeout(100_000) })

async function check(t: Test, example: LeaseExample): Promise<void> {
  const obstacle = await checkLeases(example, url, place(t))
  if (obstacle) t.comment(`${example.tool}: ${obstacle}`)
  else t.pass(`${example.tool} used each account in one hand at a time`)
}

const skip = sized<string | false>('runs at SIZE=full', false)

t.test('50 users of Locust never have one account twice', { skip }, (t) => check(t, LOCUST_LEASES))

t.test('a script for the Simple Table Server runs with another host', { skip }, async (t) => {
  await check(t, JMETER_STS)
})

t.test('Artillery leases accounts', { skip }, (t) => check(t, ARTILLERY_LEASES))
