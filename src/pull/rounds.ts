import { setTimeout as sleep } from 'node:timers/promises'
import type { PeerError } from '../client/peer.ts'
import { retry } from '../client/retry.ts'
import { ExportError } from '../protocol/read-export.ts'
import { type LocalBase, readBase } from './base.ts'
import { removePart } from './files.ts'
import { DeltaTooLarge } from './merge.ts'
import { progressDeadline } from './progress-deadline.ts'
import { type Report, roundText } from './report.ts'
import { type Job, type Transferred, transfer } from './transfer.ts'

const MAX_ATTEMPTS = 6

export interface RoundEvents {
  /** An attempt failed, and the next one follows after the pause. */
  onPause: (error: PeerError, pauseMs: number) => void
  /** The export cannot be used, so the round requests the full export. */
  onDistrust: (error: Error) => void
}

/**
 * Brings the files to the current state. Ends if it makes no progress. If the export cannot be used, requests the full export once.
 * Throws what `transfer` throws.
 */
export async function pullRound(
  job: Job,
  local: LocalBase | undefined,
  stop: AbortSignal,
  { onPause, onDistrust }: RoundEvents,
): Promise<Transferred> {
  using deadline = progressDeadline(stop)
  const { signal } = deadline
  const attempts = { maxAttempts: MAX_ATTEMPTS, signal, onPause, firstPauseMs: job.firstPauseMs }
  try {
    return await retry(() => transfer(job, local, false, deadline), attempts)
  } catch (error) {
    if (!(error instanceof ExportError || error instanceof DeltaTooLarge)) throw error
    onDistrust(error)
    return await retry(() => transfer(job, local, true, deadline), attempts)
  }
}

/** The share by which a pause may be shorter or longer, so that many load generators do not request at once. */
const JITTER = 0.03

/** Lines of a pull that goes on for days need their time, in seconds and UTC. */
const timestamp = () => new Date().toISOString().replace(/\.\d+/, '')

/**
 * Runs one round or, with `everyMs`, endless rounds at that interval, even after a failed one. The caller must have the lock on
 * `out`. Throws the error of a single round, and the reason of `stop`.
 */
export async function keepInStep(
  job: Job,
  everyMs: number | undefined,
  stop: AbortSignal,
  report: Report,
): Promise<void> {
  const { files, source } = job
  const rounds = { ...job, isFollower: everyMs !== undefined }
  for (const path of [files.base, files.out]) await removePart(path)
  let local = await readBase(files, source)
  const line = (text: string) => report.line(everyMs === undefined ? text : `${timestamp()} ${text}`)
  const events = {
    onPause: (error: Error, pauseMs: number) => line(`${error.message} Retry in ${(pauseMs / 1000).toFixed(1)} s.`),
    onDistrust: (error: Error) => line(`requests the full export: ${error.message}`),
  }
  for (;;) {
    const begun = performance.now()
    try {
      if (local && !(await local.isUntouched())) local = await readBase(files, source)
      const done = await pullRound(rounds, local, stop, events)
      local = done.local
      line(roundText(done, performance.now() - begun))
    } catch (error) {
      if (everyMs === undefined || stop.aborted) throw error
      line(`failed: ${error instanceof Error ? error.message : error}`)
    }
    if (everyMs === undefined) return
    await sleep(everyMs * (1 + JITTER * (2 * Math.random() - 1)), undefined, { signal: stop })
  }
}
