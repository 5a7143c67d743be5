// Keeps a file in sync with the users of a service, on a load generator without a database. `--help` lists the options.

import { onStopSignal, Stopped } from './process/shutdown.ts'
import { runPull } from './pull/run-pull.ts'

const stop = new AbortController()
onStopSignal((signal) => stop.abort(new Stopped(signal)))
process.exitCode = await runPull(process.argv.slice(2), {
  env: process.env,
  stdout: process.stdout,
  stderr: process.stderr,
  stop: stop.signal,
})
