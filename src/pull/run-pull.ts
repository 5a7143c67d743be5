import { Stopped } from '../process/stop-signal.ts'
import { isCleartext } from '../sync/target-schema.ts'
import { exitCodeOf, readKey, readOptions, USAGE } from './cli.ts'
import { lockOut, outFiles } from './files.ts'
import { lostLogins } from './lost-logins.ts'
import { createReport, progressText, type Terminal } from './report.ts'
import { keepInStep } from './rounds.ts'

interface PullProgram {
  env: NodeJS.ProcessEnv
  stdout: { write(text: string): unknown }
  stderr: Terminal
  /** Ends the pull when aborted with `Stopped`. */
  stop: AbortSignal
  /** The pause after the first failed attempt. */
  firstPauseMs?: number
}

/** Runs the program `pull` with these arguments. Returns its exit code; USAGE lists them. */
export async function runPull(args: string[], program: PullProgram): Promise<number> {
  const { stdout, stderr, stop } = program
  const report = createReport(stderr)
  try {
    const options = readOptions(args)
    if (!options) {
      stdout.write(`${USAGE}\n`)
      return 0
    }
    const { source, out, keyFile, everyMs, maxBytes } = options
    const key = await readKey(keyFile, program.env)
    if (key !== undefined && isCleartext(source.url))
      report.line('warning: the key goes to another machine unencrypted')
    const files = outFiles(out)
    using _lock = await lockOut(files)
    const warning = await lostLogins(files, source)
    if (warning) report.line(warning)
    const onProgress = (...progress: Parameters<typeof progressText>) => report.progress(progressText(...progress))
    const { firstPauseMs } = program
    try {
      await keepInStep({ source, files, key, maxBytes, onProgress, firstPauseMs }, everyMs, stop, report)
    } catch (error) {
      if (everyMs === undefined || !stop.aborted) throw error
    }
    return 0
  } catch (error) {
    report.line(error instanceof Error ? error.message : String(error))
    return stop.reason instanceof Stopped ? stop.reason.exitCode : exitCodeOf(error)
  }
}
