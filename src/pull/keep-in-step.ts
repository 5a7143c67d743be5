import { setTimeout as sleep } from 'node:timers/promises'
import { readHeld } from './held.ts'
import { removePart } from './part-file.ts'
import { type Report, roundText } from './report.ts'
import { pullRound } from './round.ts'
import type { Job } from './transfer.ts'

/** The share by which a pause may be shorter or longer, so that many load generators do not ask at once. */
const JITTER = 0.03

/**
 * One round; with `everyMs` rounds without end, that long apart, whatever becomes of one of them. The lock on `out` is held.
 * Throws what made the only round fail, and `stop`'s reason.
 */
export async function keepInStep(
  job: Job,
  everyMs: number | undefined,
  stop: AbortSignal,
  report: Report,
): Promise<void> {
  const { files, asked } = job
  for (const path of [files.base, files.out]) await removePart(path)
  let held = await readHeld(files, asked)
  const events = {
    onPause: (error: Error, pauseMs: number) =>
      report.line(`${error.message} Again in ${(pauseMs / 1000).toFixed(1)} s.`),
    onDistrust: (error: Error) => report.line(`asks for everything: ${error.message}`),
  }
  for (;;) {
    const begun = performance.now()
    try {
      if (held && !(await held.isUntouched())) held = await readHeld(files, asked)
      const done = await pullRound(job, held, stop, events)
      held = done.held
      report.line(roundText(done, performance.now() - begun))
    } catch (error) {
      if (everyMs === undefined || stop.aborted) throw error
      report.line(`failed: ${error instanceof Error ? error.message : error}`)
    }
    if (everyMs === undefined) return
    await sleep(everyMs * (1 + JITTER * (2 * Math.random() - 1)), undefined, { signal: stop })
  }
}
