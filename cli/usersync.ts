#!/usr/bin/env node
// The command `usersync` of the npm package: creates, watches and deletes test users, pulls them, and runs the service. docs/command.md.

import { onStopSignal, STOP_CODES, Stopped } from '../src/process/shutdown.ts'
import { DONE, exitCodeOf } from './exit-codes.ts'
import { run } from './run.ts'

const { env, stdin, stdout, stderr } = process

for (const stream of [stdout, stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(DONE) // `usersync users list | head`: the reader has what it wants
    if (stream === stdout) stderr.write(`usersync: stdout: ${error.message}\n`)
    process.exit(exitCodeOf(error))
  })
}

const stop = new AbortController()
onStopSignal((signal) => stop.abort(new Stopped(signal)))
process.exitCode = await run(process.argv.slice(2), { env, stdin, stdout, stderr, stop: stop.signal })
for (const signal of Object.keys(STOP_CODES)) process.removeAllListeners(signal) // nothing is left to stop
if (stdin.isTTY === undefined) stdin.destroy() // an unread pipe would keep the process alive
