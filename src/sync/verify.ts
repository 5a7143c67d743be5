import { answerTexts, callPeer, PeerError } from '../client/peer.ts'
import { Problem } from '../errors.ts'
import { ndjsonRequest } from '../export/export-request.ts'
import type { Exports } from '../export/exports.ts'
import { ExportError, type ExportRow, readExport } from '../protocol/read-export.ts'
import { StateDigest } from '../protocol/state.ts'
import { ContentError, characters } from '../protocol/text.ts'
import { UUID_FORM } from '../protocol/user-line.ts'
import { replicaPath } from './probe.ts'
import type { Target } from './targets.ts'

/** Maximum number of ids listed per kind of difference. With more differences, a full push is the remedy. */
const MAX_IDS = 100

/** One side of a comparison. */
export interface Side {
  /** The state that the export names. */
  state: string
  /** The state computed from its user lines. */
  recomputed_state: string
  total_count: number
}

/** Users that only one side has, or whose lines differ: the count, and the first hundred ids. */
export interface Difference {
  count: number
  ids: string[]
}

export interface Comparison {
  local: Side
  remote: Side
  missing: Difference
  extra: Difference
  changed: Difference
}

/**
 * Compares two full NDJSON exports user by user, as they arrive. Both are in id order, so memory holds one page of each. Throws
 * ExportError if one is cut, not full, or in another order.
 */
export async function compareExports(local: AsyncIterable<string>, remote: AsyncIterable<string>): Promise<Comparison> {
  const [a, b] = [await openSide(local), await openSide(remote)]
  const [missing, extra, changed] = [noDifference(), noDifference(), noDifference()]
  let [left, right] = [await a.next(), await b.next()]
  while (left !== undefined || right !== undefined) {
    const order = orderOf(left, right)
    if (order < 0) note(missing, left)
    if (order > 0) note(extra, right)
    if (order === 0 && left?.line !== right?.line) note(changed, left)
    if (order <= 0) left = await a.next()
    if (order >= 0) right = await b.next()
  }
  return { local: a.summary(), remote: b.summary(), missing, extra, changed }
}

interface User {
  id: string
  line: string
}

/** Compares two positions by id. Below 0: the left user comes first. Above 0: the right one. 0: both are the same user. */
function orderOf(left: User | undefined, right: User | undefined): number {
  if (left === undefined) return 1
  if (right === undefined || left.id < right.id) return -1
  return left.id === right.id ? 0 : 1
}

const noDifference = (): Difference => ({ count: 0, ids: [] })

function note(difference: Difference, user: User | undefined): void {
  difference.count++
  if (user && difference.ids.length < MAX_IDS) difference.ids.push(user.id)
}

async function openSide(texts: AsyncIterable<string>) {
  const { head, pages } = await readExport(texts)
  if (head.kind !== 'full') throw outOfForm()
  const digest = new StateDigest()
  let page: ExportRow[] = []
  let at = 0
  let last = ''
  return {
    /** Returns the next user; undefined after the last. */
    async next(): Promise<User | undefined> {
      if (at === page.length) {
        const { value, done } = await pages.next()
        if (done) return undefined
        page = value
        at = 0
      }
      const row = page[at++]
      // The response shows up to a hundred ids of each kind, so anything but an id would be untrusted text.
      if (!row || 'deleted' in row || row.id <= last || !UUID_FORM.test(row.id)) throw outOfForm()
      last = row.id
      digest.add(row.line)
      return row
    },
    summary: (): Side => ({ state: head.state, recomputed_state: digest.name(), total_count: head.total_count }),
  }
}

const outOfForm = () => new ExportError('malformed', 'this is not a full NDJSON export in id order')

/** How long a target may send nothing, and the deadline of the verification. Reading a million users takes each side about 15 s. */
const SILENCE_MS = 30_000
const DEADLINE_MS = 240_000

/**
 * Reads all users of a target's filter here and all users of the target, computes both states from scratch, and compares user by
 * user. Throws `target_failed` if the target sends no full export, and `overloaded`.
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
      throw new Problem('target_failed', `The verification took more than ${DEADLINE_MS / 1000} s.`, { cause: error })
    if (error instanceof PeerError)
      throw new Problem('target_failed', `${error.fault}: ${error.message}`, { cause: error })
    // Only the target's content can be unreadable: ours was checked when it was stored.
    if (error instanceof ExportError || error instanceof ContentError)
      throw new Problem('target_failed', `The target’s response: ${error.message}`, { cause: error })
    throw error
  }
}

async function compare(exports: Exports, target: Target, remote: AsyncIterable<string>): Promise<Comparison> {
  const local = await exports.openDirect(ndjsonRequest(target, undefined))
  try {
    return await compareExports(characters(local.text), remote)
  } finally {
    await local.text.return()
    await local.release()
  }
}
