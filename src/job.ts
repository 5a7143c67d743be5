// Runs one named job, for a scheduler: `npm run job -- expire --date 2026-01-31`. The same job with the same parameters is the
// same run: a completed run is reported, and one that was cut off goes on. `--help` lists the jobs.

import { JobFailure } from './jobs/job.ts'
import { runJob } from './jobs/run-job.ts'
import { onStopSignal } from './process/shutdown.ts'

const stop = new AbortController()
onStopSignal((signal) => stop.abort(new JobFailure(`ended by ${signal}`)))
const { env, stdout, stderr } = process
process.exit(await runJob(process.argv.slice(2), { env, stdout, stderr, stop: stop.signal })) // whatever handle is still open
