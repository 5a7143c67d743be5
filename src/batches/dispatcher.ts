import { EventEmitter, once } from 'node:events'
import type { FastifyBaseLogger } from 'fastify'
import type { Sql } from 'postgres'
import type { MemoryGuard } from '../memory-guard.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { Tracing } from '../tracing/tracing.ts'
import type { WorkerPool } from '../worker-pool/worker-pool.ts'
import { WAKE_CHANNEL } from './create-batch.ts'
import { markCompleted, markFailed, markRunning, type UnfinishedBatch, unfinishedBatches } from './unfinished.ts'

/**
 * Keeps the worker threads busy with the chunks of unfinished batches, whoever made them. It holds nothing that the
 * database does not: N replicas each run one, and share the work by the locks that their workers take on chunks.
 *
 * A round: read the hundred oldest unfinished batches; complete those without an open chunk; give free threads to the one
 * of them with the fewest, of equals to the one whose turn was longest ago, so that among a hundred a small batch does not wait
 * for the end of big ones, be there only one thread. A batch whose chunks all turn out to be in other hands, or whose chunk has
 * to be tried again, rests until the next poll. While memory is above its limit no chunk is begun. Rounds follow one another,
 * never overlap, and begin at a notification, at the end of a task, and once a second.
 */
export interface Dispatcher {
  /** Begins a round now, or another one right after the one in progress. */
  wake(): void
  /** Resolves at the next sign of progress, or after `milliseconds`. */
  nextProgress(milliseconds: number): Promise<void>
  /** Whether `drain` was called. */
  draining(): boolean
  /** Begins no further chunk, and resolves when those in work are done. */
  drain(): Promise<void>
}

const POLL_MS = 1_000
const BATCHES_A_ROUND = 100

export async function startDispatcher(
  sql: Sql,
  workers: WorkerPool,
  memory: MemoryGuard,
  metrics: Metrics,
  tracing: Tracing | undefined,
  log: FastifyBaseLogger,
): Promise<Dispatcher> {
  const progress = new EventEmitter().setMaxListeners(0)
  const inWork = new Map<string, number>()
  /** Of the batches of this round: the turn in which each was last given a thread, or came. */
  let turns = new Map<string, number>()
  let turn = 0
  const resting = new Set<string>()
  const tasks = new Set<Promise<void>>()
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
        log.warn({ err: error }, 'the dispatcher could not read the batches and tries again')
      }
    }
    round = undefined // in the same turn as the last look at `wanted`, or a wake between would be lost
  }

  async function dispatch(batches: UnfinishedBatch[]): Promise<void> {
    for (const batch of batches) {
      if (batch.has_open_chunks) continue
      await markRunning(sql, batch)
      await markCompleted(sql, batch)
      progress.emit('progress')
    }
    const open = batches.filter(({ has_open_chunks }) => has_open_chunks)
    turns = new Map(open.map(({ id }) => [id, turns.get(id) ?? turn]))
    while (!draining && !memory.isOver() && workers.inWork() < workers.threads) {
      const batch = neediest(open)
      if (!batch) return
      if (batch.status === 'queued') {
        await markRunning(sql, batch)
        batch.status = 'running'
      }
      turns.set(batch.id, ++turn)
      const task = work(batch)
      tasks.add(task)
      void task.finally(() => tasks.delete(task))
    }
  }

  function neediest(batches: UnfinishedBatch[]): UnfinishedBatch | undefined {
    const count = ({ id }: UnfinishedBatch) => inWork.get(id) ?? 0
    const lastTurn = ({ id }: UnfinishedBatch) => turns.get(id) ?? turn
    return batches
      .filter((batch) => !resting.has(batch.id) && count(batch) < batch.max_workers)
      .toSorted((a, b) => count(a) - count(b) || lastTurn(a) - lastTurn(b))[0]
  }

  async function work(batch: UnfinishedBatch): Promise<void> {
    inWork.set(batch.id, (inWork.get(batch.id) ?? 0) + 1)
    const begun = performance.now()
    try {
      const result = await workers.run('chunk', { poolId: batch.pool_id, batchId: batch.id })
      metrics.chunkEnded(result, (performance.now() - begun) / 1000)
      tracing?.chunkEnded(batch.id, result, begun)
      if (result.outcome !== 'done') resting.add(batch.id)
      if (result.outcome === 'retry')
        log.warn({ batch: batch.id, reason: result.reason }, 'a chunk will be tried again')
      if (result.outcome === 'failed') {
        log.error({ batch: batch.id, reason: result.reason }, 'a chunk cannot be done; its batch is ended')
        await markFailed(sql, batch)
      }
    } catch (error) {
      resting.add(batch.id)
      log.warn({ err: error, batch: batch.id }, 'a worker failed; its chunk will be tried again')
    } finally {
      const left = (inWork.get(batch.id) ?? 1) - 1
      if (left > 0) inWork.set(batch.id, left)
      else inWork.delete(batch.id)
      progress.emit('progress')
      wake()
    }
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
