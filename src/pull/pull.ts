// Keeps a file in step with the users of a service, on a load generator that has no database. `--help` tells the options.

import { onStopSignal, STOP_CODES } from '../stop-signal.ts'
import { isCleartext } from '../targets/receiver-url.ts'
import { exitCodeOf } from './exit-code.ts'
import { keepInStep } from './keep-in-step.ts'
import { readKey } from './key.ts'
import { lockOut, outFiles } from './out-files.ts'
import { type PullOptions, readOptions, USAGE } from './pull-options.ts'
import { createReport, progressText } from './report.ts'

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
  if (key !== undefined && isCleartext(asked.url)) report.line('warning: the key goes to another machine unencrypted')
  const files = outFiles(out)
  using _lock = await lockOut(files)
  const onProgress = (...progress: Parameters<typeof progressText>) => report.progress(progressText(...progress))
  try {
    await keepInStep({ asked, files, key, maxBytes, onProgress }, everyMs, stop.signal, report)
  } catch (error) {
    if (everyMs === undefined || !stop.signal.aborted) throw error
  }
}
