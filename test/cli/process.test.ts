import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'
import { CHILD_ENV } from '../child-env.ts'
import { suite } from '../suite.ts'

const t = suite()

/*
 * What only a process of its own can show: pipes that close, and signals.
 */

const COMMAND = resolve(import.meta.dirname, '../../cli/usersync.ts')

/** Starts a server, and a process that gets its URL. */
async function start(t: Test, answer: RequestListener, program: string, args: string[]) {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const USERSYNC_URL = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const child = spawn(program, args, { env: { ...CHILD_ENV, USERSYNC_URL }, stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => {
    child.kill('SIGKILL')
    server.closeAllConnections()
    server.close()
  })
  return child
}

t.test('a reader that has enough ends the command quietly', async (t) => {
  const endless: RequestListener = (_, response) => {
    const send = () => {
      while (response.write('{"kind":"full"}\n'.repeat(1_000)));
      if (!response.destroyed) response.once('drain', send)
    }
    send()
  }
  const script = `"$0" "${COMMAND}" users export | head -1; echo "\${PIPESTATUS[0]}"`
  const child = await start(t, endless, 'bash', ['-c', script, process.execPath])
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)])
  t.equal(out, '{"kind":"full"}\n0\n')
  t.equal(err, '')
})

t.test('a full disk is exit code 7', async (t) => {
  const script = '"$0" "$1" users export > /dev/full'
  const answer: RequestListener = (_, response) => response.end('{"kind":"full"}\n{"end":"u1-0","lines":0}\n')
  const child = await start(t, answer, 'bash', ['-c', script, process.execPath, COMMAND])
  const [err, [code]] = await Promise.all([text(child.stderr), once(child, 'close')])
  t.equal(code, 7)
  t.match(err, /^usersync: stdout: ENOSPC: .*\n$/)
})

t.test('a signal ends the command with its code, and the line says what the service may have done', async (t) => {
  const child = await start(t, () => child.kill('SIGTERM'), process.execPath, [COMMAND, 'lease', 'take'])
  const [err, [code]] = await Promise.all([text(child.stderr), once(child, 'close')])
  t.equal(code, 143)
  t.match(err, /^usersync: ended by SIGTERM\. A lease that the service granted meanwhile ends at its time: .*\n$/)
})
