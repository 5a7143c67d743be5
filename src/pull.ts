// Keeps a file in sync with the users of a service, on a load generator without a database. `--help` lists the options.

import { onStopSignal, STOP_CODES } from './process/stop-signal.ts'
import { exitCodeOf, type PullOptions, readKey, readOptions, USAGE } from './pull/cli.ts'
import { lockOut, outFiles } from './pull/files.ts'
import { createReport, progressText } from './pull/report.ts'
import { keepInStep } from './pull/rounds.ts'
import { isCleartext } from './sync/target-schema.ts'

const report = createReport(process.stderr)
const stop = new AbortController()
let stopCode = 0
onStopSignal((signal) => {
  stopCode = STOP_CODES[signal]
  stop.abort(new Error(`ended by ${signal}`))
})

try {
  const options = readOptions(process.argv.slice(2))
  if (options) await pull(options)
  else process.stdout.write(`${USAGE}\n`)
} catch (error) {
  report.line(error instanceof Error ? error.message : String(error))
  process.exitCode = stop.signal.aborted ? stopCode : exitCodeOf(error)
}

async function pull({ asked, out, keyFile, everyMs, maxBytes }: PullOptions): Promise<void> {
  const key = await readKey(keyFile)
  if (key !== undefined && isCleartext(asked.url))
    report.line('warning: the key is sent to another machine unencrypted')
  const files = outFiles(out)
  using _lock = await lockOut(files)
  const onProgress = (...progress: Parameters<typeof progressText>) => report.progress(progressText(...progress))
  try {
    await keepInStep({ asked, files, key, maxBytes, onProgress }, everyMs, stop.signal, report)
  } catch (error) {
    if (everyMs === undefined || !stop.signal.aborted) throw error
  }
}
