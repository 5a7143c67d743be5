import { EventEmitter, once } from 'node:events'
import type { FastifyBaseLogger } from 'fastify'
import type { Sql } from 'postgres'
import type { MemoryGuard } from '../process/memory-guard.ts'
import type { BatchErrorCode } from './batch-errors.ts'
import type { ChunkOutcome } from './chunks.ts'
import { WAKE_CHANNEL } from './create-batch.ts'
import { failBatch } from './end-batch.ts'
import { markCompleted, markRunning, noteError, type UnfinishedBatch, unfinishedBatches } from './unfinished.ts'
import type { WorkerPool } from './worker-pool.ts'

/**
 * Keeps the worker threads busy with the chunks of unfinished batches. All state is in the database. Each of N replicas
 * runs a dispatcher, and they share the work through the locks that their workers take on chunks.
 *
 * A round reads the hundred oldest unfinished batches and completes those without an open chunk. Each free thread
 * serves the batch with the fewest chunks in progress; ties go to the batch served least recently. So a small batch
 * does not wait for large ones. A batch rests if it has no free chunk or if its chunk must be retried. It rests until
 * the next poll, or until another of its chunks completes: chunks of users become free when the credentials exist.
 *
 * No chunk starts while memory is above its limit, or during the backoff after the database rejected a connection.
 * Rounds never overlap. A round starts at a notification, at the end of a task, and once a second.
 */
export interface Dispatcher {
  /** Starts a round now, or right after the round in progress. */
  wake(): void
  /** Resolves at the next progress, or after `milliseconds`. */
  nextProgress(milliseconds: number): Promise<void>
  /** Whether `drain` was called. */
  draining(): boolean
  /** Starts no further chunk, and resolves when the chunks in progress are done. */
  drain(): Promise<void>
}

/** Receives the outcome of each chunk that a worker took. */
export interface ChunkObserver {
  /** `begun` comes from `performance.now()`. */
  chunkEnded(batchId: string, outcome: ChunkOutcome, begun: number): void
}

const POLL_MS = 1_000
const BATCHES_A_ROUND = 100

/** Pauses after 1, 2, 3 … consecutive rejections by the database. */
const backoffMs = (refusals: number) => Math.min(500 * 2 ** refusals, 5_000)

/** Errors of the server as a whole, which affect every chunk of every batch. */
const REFUSALS = new Set<BatchErrorCode>(['connections_exhausted', 'database_unavailable', 'read_only'])

/** Identifies a batch. A population has the same id in each pool. */
const keyOf = ({ pool_id, id }: UnfinishedBatch) => `${pool_id} ${id}`

interface DispatcherOptions {
  sql: Sql
  workers: WorkerPool
  memory: MemoryGuard
  observer?: ChunkObserver
  log: FastifyBaseLogger
}

export async function startDispatcher(options: DispatcherOptions): Promise<Dispatcher> {
  const { sql, workers, memory, observer, log } = options
  const progress = new EventEmitter().setMaxListeners(0)
  const inWork = new Map<string, number>()
  /** The value of `serveCount` when each batch of this round was last served, or first seen. */
  let lastServed = new Map<string, number>()
  let serveCount = 0
  const resting = new Set<string>()
  const tasks = new Set<Promise<void>>()
  let refusals = 0
  let pausedUntil = 0
  let draining = false
  let round: Promise<void> | undefined
  let wanted = false

  function wake(): void {
    wanted = true
    round ??= rounds()
  }

  async function rounds(): Promise<void> {
    while (wanted && !draining) {
      wanted = false
      try {
        await dispatch(await unfinishedBatches(sql, BATCHES_A_ROUND))
      } catch (error) {
        log.warn({ err: error }, 'batches not read, retrying')
      }
    }
    round = undefined // synchronous with the last check of `wanted`: no wake can be lost in between
  }

  async function dispatch(batches: UnfinishedBatch[]): Promise<void> {
    for (const batch of batches) {
      if (batch.has_open_chunks) continue
      await markRunning(sql, batch)
      await markCompleted(sql, batch)
      progress.emit('progress')
    }
    const open = batches.filter(({ has_open_chunks }) => has_open_chunks)
    lastServed = new Map(open.map(keyOf).map((key) => [key, lastServed.get(key) ?? serveCount]))
    while (!draining && Date.now() >= pausedUntil && !memory.isOver() && workers.inWork() < workers.threads) {
      const batch = neediest(open)
      if (!batch) return
      if (batch.status === 'queued') {
        await markRunning(sql, batch)
        batch.status = 'running'
      }
      lastServed.set(keyOf(batch), ++serveCount)
      const task = work(batch)
      tasks.add(task)
      void task.finally(() => tasks.delete(task))
    }
  }

  function neediest(batches: UnfinishedBatch[]): UnfinishedBatch | undefined {
    const count = (batch: UnfinishedBatch) => inWork.get(keyOf(batch)) ?? 0
    const servedAt = (batch: UnfinishedBatch) => lastServed.get(keyOf(batch)) ?? serveCount
    return batches
      .filter((batch) => !resting.has(keyOf(batch)) && count(batch) < batch.max_workers)
      .toSorted((a, b) => count(a) - count(b) || servedAt(a) - servedAt(b))[0]
  }

  async function work(batch: UnfinishedBatch): Promise<void> {
    const key = keyOf(batch)
    inWork.set(key, (inWork.get(key) ?? 0) + 1)
    const begun = performance.now()
    try {
      const result = await workers.run('chunk', { poolId: batch.pool_id, batchId: batch.id })
      observer?.chunkEnded(batch.id, result, begun)
      if (result.outcome === 'done') {
        refusals = 0
        resting.delete(key)
      } else {
        resting.add(key)
      }
      if (result.outcome === 'retry') await retryLater(batch, result)
      if (result.outcome === 'failed') {
        const { code, reason } = result
        log.error({ batch: batch.id, code, reason }, 'chunk failed, batch marked failed')
        await failBatch(sql, batch.pool_id, batch.id, code)
      }
    } catch (error) {
      resting.add(key)
      log.warn({ err: error, batch: batch.id }, 'worker failed, retrying chunk')
    } finally {
      const left = (inWork.get(key) ?? 1) - 1
      if (left > 0) inWork.set(key, left)
      else inWork.delete(key)
      progress.emit('progress')
      wake()
    }
  }

  async function retryLater(batch: UnfinishedBatch, { code, reason }: { code: BatchErrorCode; reason: string }) {
    // Several threads meet the same rejection at once. It counts once.
    if (REFUSALS.has(code) && Date.now() >= pausedUntil) pausedUntil = Date.now() + backoffMs(++refusals)
    log.warn({ batch: batch.id, code, reason }, 'chunk failed, retrying')
    await noteError(sql, batch, code).catch(() => {}) // already logged
  }

  const poll = setInterval(() => {
    resting.clear()
    wake()
  }, POLL_MS)
  const subscription = await sql.listen(WAKE_CHANNEL, wake)
  wake()

  return {
    wake,
    draining: () => draining,
    async nextProgress(milliseconds) {
      await once(progress, 'progress', { signal: AbortSignal.timeout(milliseconds) }).catch(() => {})
    },
    async drain() {
      draining = true
      progress.emit('progress')
      clearInterval(poll)
      await subscription.unlisten().catch(() => {})
      await round
      await Promise.all(tasks)
    },
  }
}
