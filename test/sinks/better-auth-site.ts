import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { CHILD_ENV } from '../child-env.ts'
import { freePort } from '../faults/free-port.ts'

const SITE = fileURLToPath(new URL('../../examples/sinks/better-auth/shop.mjs', import.meta.url))

/** Starts the site of the examples on an empty database, whose tables better-auth's own migration makes. */
export async function startSite(t: Test, database: string) {
  const env = { ...CHILD_ENV, SHOP_DATABASE: database, PORT: String(await freePort()) }
  const site = spawn(process.execPath, [SITE], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(site, 'close')
  t.teardown(async () => {
    site.kill('SIGKILL')
    await ended
  })
  const [line] = await once(site.stdout, 'data')
  const url = `${String(line).trim()}/api/auth`
  const post = async (path: string, body: object) =>
    await fetch(url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', origin: new URL(url).origin }, // what a browser sends
      body: JSON.stringify(body),
    })
  const signIn = async (email: string, password: string) => (await post('/sign-in/email', { email, password })).status
  return { url, post, signIn }
}
