import { createExports } from '../export/exports.ts'
import { schemaReader } from '../http/field-errors.ts'
import { openEncryptionKey } from '../secrets/encryption.ts'
import { readRun, requestRun } from '../sync/sync-runs.ts'
import { startSyncScheduler } from '../sync/sync-scheduler.ts'
import { RunBody } from '../sync/sync-schema.ts'
import { type JobContext, JobFailure, jobPool, recordJob, untilEnded } from './job.ts'
import type { JobRun } from './job-runs.ts'

const readBody = schemaReader(RunBody, 'body')

/**
 * Pushes to the targets, one after the other. This process pushes, since no service may be running; one that runs may take the runs
 * too. Throws JobFailure if a target is not in sync afterwards.
 */
export async function pushToTargets(context: JobContext, { parameters }: JobRun): Promise<Record<string, unknown>> {
  const { sql, config, log, signal } = context
  const { full = false } = parameters
  const names = parameters['targets'] as string[]
  const pool = await jobPool(sql, parameters['pool'])
  const encryptionKey = await openEncryptionKey(sql, config)
  const waitMs = config.waitSeconds * 1000
  const exports = createExports({ sql, encryptionKey, concurrency: config.exportConcurrency, waitMs, cache: undefined })
  const only = { poolId: pool.id, names }
  const scheduler = startSyncScheduler({ sql, exports, encryptionKey, targetHosts: config.targetHosts, only }, log)
  await using stack = new AsyncDisposableStack()
  stack.defer(() => scheduler.stop())

  const targets = []
  for (const name of names) {
    const body = readBody({ target: name, full })
    const { id } = await requestRun(sql, pool.id, body.target, { full: body.full ?? false })
    await recordJob(sql, 'sync', { pool: pool.name, subject: id, counts: {} })
    scheduler.wake()
    const { target, kind, failure, detail } = await untilEnded(() => readRun(sql, pool.id, id), signal)
    targets.push({ target, kind, failure, detail })
  }
  const behind = targets.filter(({ failure }) => failure !== null)
  if (behind.length > 0) throw new JobFailure(behind.map(({ target, detail }) => `${target}: ${detail}`).join('; '))
  return { targets }
}
