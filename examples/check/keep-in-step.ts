import { deepEqual, equal, notEqual } from 'node:assert/strict'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Ended, run } from './command.ts'
import { addUsers, changeUser, deleteUser, exportedUsers, rowsOf } from './users.ts'

const SCRIPT = fileURLToPath(new URL('../curl/keep-in-step.sh', import.meta.url))

export interface Place {
  /** The folder of users.csv. */
  folder: string
  signal: AbortSignal
}

export async function keepInStep(
  url: string,
  { folder, signal }: Place,
  { filter, key }: { filter?: string; key?: string } = {},
): Promise<Ended> {
  const args = [SCRIPT, url, ...(filter ? [filter] : [])]
  return await run('sh', args, { cwd: folder, signal, env: key ? { USERSYNC_KEY: key } : {} })
}

/**
 * Follows a service of 200 users through its changes with curl. At the end, the service and users.csv have 249 users.
 */
export async function checkKeepInStep(url: string, place: Place): Promise<void> {
  const file = join(place.folder, 'users.csv')
  const step = async (kind: string, count: number) => {
    const { output, errors } = await keepInStep(url, place)
    equal(output + errors, `${kind}\n`)
    const rows = rowsOf(await readFile(file, 'utf8'))
    equal(rows.length, count, `rows of users.csv (${kind})`)
    deepEqual(rows, await exportedUsers(url), `users.csv is not the export (${kind})`)
    return rows
  }
  await step('full', 200)
  const before = await stat(file, { bigint: true })
  await step('unchanged', 200)
  const after = await stat(file, { bigint: true })
  deepEqual([after.ino, after.mtimeNs], [before.ino, before.mtimeNs], 'a 304 does not change users.csv')

  await addUsers(url, 50)
  const [, twoLines = {}, third = {}] = await step('delta', 250)
  await changeUser(url, twoLines)
  await deleteUser(url, third)
  await step('delta', 249)

  const held = await readFile(file, 'utf8')
  const failed = await keepInStep('http://127.0.0.1:1', place) // nothing listens there
  notEqual(failed.code, 0)
  equal(await readFile(file, 'utf8'), held, 'a failure does not change users.csv')
  await step('unchanged', 249)
}
