import { Problem } from '../errors.ts'
import type { Exports } from '../export/exports.ts'
import { characters } from '../export/text.ts'
import type { Target } from '../targets/targets.ts'
import { answerTexts } from './answer-texts.ts'
import { type Comparison, compareExports } from './compare-exports.ts'
import { exportForTarget } from './export-for-target.ts'
import { replicaPath } from './held-state.ts'
import { callPeer, PeerError } from './peer.ts'
import { ExportError } from './read-export.ts'

/** How long a target may be silent, and how long all may take: reading a million users takes either side some 15 s. */
const SILENCE_MS = 30_000
const DEADLINE_MS = 240_000

/**
 * Reads all users of a target's filter here, and all that the target holds, computes both states from scratch, and compares
 * user by user. Throws `target_failed` where the target gives no full export, and `overloaded`.
 */
export async function verifyTarget(exports: Exports, target: Target): Promise<Comparison> {
  const { url, key, remotePool } = target
  const signal = AbortSignal.timeout(DEADLINE_MS)
  const headers = { accept: 'application/x-ndjson', 'accept-encoding': 'zstd, gzip' }
  try {
    const call = { method: 'GET', path: replicaPath(remotePool), headers, silenceMs: SILENCE_MS, signal } as const
    const answer = await callPeer({ url, key }, call)
    try {
      return await compare(exports, target, answerTexts(answer))
    } finally {
      answer.body.destroy()
    }
  } catch (error) {
    if (signal.aborted)
      throw new Problem('target_failed', `It took more than ${DEADLINE_MS / 1000} s.`, { cause: error })
    if (error instanceof PeerError)
      throw new Problem('target_failed', `${error.fault}: ${error.message}`, { cause: error })
    if (error instanceof ExportError || isRowTooLong(error))
      throw new Problem('target_failed', `Its answer: ${error.message}`, { cause: error })
    throw error
  }
}

async function compare(exports: Exports, target: Target, remote: AsyncIterable<string>): Promise<Comparison> {
  const local = await exports.openDirect(exportForTarget(target, undefined))
  try {
    return await compareExports(characters(local.text), remote)
  } finally {
    await local.text.return()
    await local.release()
  }
}

/** Our own rows are shorter: they were bounded when they came in. */
const isRowTooLong = (error: unknown): error is Problem => error instanceof Problem && error.code === 'body_too_large'
