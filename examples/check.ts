// `npm run examples`: runs each example whose tool is installed against a real service with 200 users, and checks which
// users it used. Prints one line per tool. Exits with code 1 if one failed. Takes half a minute, at most 2.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { within } from '../bench/demo-deadline.ts'
import { startService } from '../bench/demo-service.ts'
import { checkKeepInStep } from './check/keep-in-step.ts'
import { ARTILLERY_LEASES, checkLeases, JMETER_STS, LOCUST_LEASES } from './check/leases.ts'
import { startRecorder } from './check/recorder.ts'
import { checkScim } from './check/scim.ts'
import { ARTILLERY, AUTOCANNON, checkTool, JMETER, LOCUST } from './check/tools.ts'
import { exportedUsers, makeUsers } from './check/users.ts'

const halt = new AbortController()
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => halt.abort(new Error(name)))

async function report(name: string, check: () => Promise<string | undefined>): Promise<void> {
  try {
    process.stdout.write(`${name}: ${(await check()) ?? 'ok'}\n`)
  } catch (error) {
    process.stdout.write(`${name}: failed: ${error instanceof Error ? error.message : error}\n`)
    process.exitCode = 1
  }
}

const folder = await mkdtemp(join(tmpdir(), 'usersync-examples-'))
const place = { folder, signal: halt.signal }
const service = startService()
const recorder = await startRecorder()
try {
  const url = await within(30, 'start of the service', () => service.listening, halt.signal)
  await makeUsers(url, 200)
  await report('curl', async () => void (await checkKeepInStep(url, place)))
  const users = await exportedUsers(url)
  for (const tool of [AUTOCANNON, LOCUST, JMETER, ARTILLERY]) {
    await report(tool.name, () => checkTool(tool, recorder, users, place))
  }
  for (const example of [LOCUST_LEASES, JMETER_STS, ARTILLERY_LEASES]) {
    await report(`${example.tool}, leases`, () => checkLeases(example, url, place))
  }
  await report('scim', async () => void (await checkScim(url, place)))
} finally {
  await service.stop()
  await recorder.close()
  await rm(folder, { recursive: true, force: true })
}
