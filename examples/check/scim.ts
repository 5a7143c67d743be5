import { deepEqual, equal, match, ok } from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { within } from '../../bench/demo-deadline.ts'
import { run } from './command.ts'
import type { Place } from './keep-in-step.ts'
import { changeUser, deleteUser, exportedUsers, type Row } from './users.ts'

const example = (name: string) => fileURLToPath(new URL(`../sinks/scim/${name}`, import.meta.url))

const TOKEN = 'the-token-of-the-example'

/** Fewer than the script creates by default: SCIMMY takes several milliseconds for each. */
const USERS = 30

/**
 * Brings users into the SCIM server of the example by its script, logs in with some, and removes them. The service has more users
 * afterwards.
 */
export async function checkScim(url: string, { folder, signal }: Place): Promise<void> {
  const server = spawn(process.execPath, [example('server.mjs')], {
    env: { PATH: process.env['PATH'], PORT: '0', TOKEN },
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  try {
    const scim = await within(20, 'start of the SCIM server', () => listening(server), signal)
    const script = async (...args: string[]) => {
      const env = { SCIM_TOKEN: TOKEN, USERS: String(USERS) }
      const { code, output, errors } = await run('sh', [example('scim.sh'), url, ...args], { cwd: folder, signal, env })
      equal(code, 0, `scim.sh ${args.join(' ')}: ${output}${errors}`)
      return output
    }
    const [, batch = ''] = /^batch (\S+)/.exec(await script('create', `${scim}/scim/v2`)) ?? []
    ok((await script('sync')).startsWith(`status succeeded\nadded_count ${USERS}\n`))
    equal(await countUsers(scim), USERS)
    const [first = {}, second = {}, ...others] = (await exportedUsers(url)).filter((user) => user['batch_id'] === batch)
    await logIn(scim, others.slice(0, 5))
    await changeUser(url, first)
    await deleteUser(url, second)
    match(await script('sync'), /added_count 0\nupdated_count 1\ndeleted_count 1\n/)
    equal(await countUsers(scim), USERS - 1)
    match(await script('clear'), new RegExp(`deleted_count ${USERS - 1}\n`))
    equal(await countUsers(scim), 0)
  } finally {
    server.kill()
    if (server.exitCode === null) await once(server, 'exit')
  }
}

async function listening({ stdout }: ChildProcess): Promise<string> {
  if (stdout)
    for await (const line of createInterface(stdout)) {
      const [url] = /http:\S+/.exec(line) ?? []
      if (url) return url
    }
  throw new Error('it has ended')
}

/** Logs in with some users of the script, with the right password and with a wrong one. */
async function logIn(scim: string, users: Row[]): Promise<void> {
  const attempt = async (username: string | undefined, password: string) => {
    const headers = { 'content-type': 'application/json' }
    return (await fetch(`${scim}/login`, { method: 'POST', headers, body: JSON.stringify({ username, password }) }))
      .status
  }
  const right = await Promise.all(users.map(({ username }) => attempt(username, 'TestPass123!')))
  const wrong = await Promise.all(users.map(({ username }) => attempt(username, 'another')))
  deepEqual([new Set(right), new Set(wrong)], [new Set([204]), new Set([401])], 'log in with the right password only')
}

async function countUsers(scim: string): Promise<number> {
  const headers = { authorization: `Bearer ${TOKEN}` }
  const answer = await fetch(`${scim}/scim/v2/Users?count=1`, { headers })
  return ((await answer.json()) as { totalResults: number }).totalResults
}
