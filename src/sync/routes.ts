import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { Sql } from 'postgres'
import { Type } from 'typebox'
import { requireScope } from '../auth/authentication.ts'
import { FIRST_ID } from '../database/id-bounds.ts'
import { invalidRequest } from '../errors.ts'
import type { Exports } from '../export/exports.ts'
import { createConcurrencyLimit } from '../http/concurrency-limit.ts'
import { type Cursors, makePage, pageOf, pageParams } from '../http/pagination.ts'
import { strict, Uuid } from '../http/schemas.ts'
import { PoolQuery, poolIdOf, poolOf, poolParam, urlInPool } from '../pools/pool-parameter.ts'
import { findPoolId } from '../pools/pools.ts'
import { isSink } from './kinds/kinds.ts'
import { targetStatus } from './probe.ts'
import { dryRun } from './sinks/dry-run.ts'
import { listFailures } from './sinks/failures.ts'
import { lastRuns, listRuns, readRun, requestClear, requestRun, withoutWideStates } from './sync-runs.ts'
import type { SyncScheduler } from './sync-scheduler.ts'
import { DryRunResponse, FailureResponse, RunBody, RunResponse, StatusResponse, VerifyResponse } from './sync-schema.ts'
import { TargetName } from './target-schema.ts'
import { listTargets, MAX_TARGETS, readTarget, type Target } from './targets.ts'
import { verifyTarget } from './verify.ts'

interface SyncRoutesOptions {
  sql: Sql
  cursors: Cursors
  encryptionKey: Buffer
  exports: Exports
  scheduler: SyncScheduler
}

/** Verifications at once. Each uses half of a core while it reads. */
const VERIFICATIONS = 1

/** How long a verification waits for the one before it, before it is rejected. */
const VERIFICATION_WAIT_MS = 10_000

const TargetPath = Type.Object({ name: { ...TargetName, examples: ['tester'] } })

/** What does for a sink what a verification does for a receiver. */
const VERIFY_A_SINK =
  '. GET /v1/sync/status says whether it is in step by our record, and POST /v1/sync with "full": true sends all users again and creates those that somebody removed there'

const notForKind = (path: string, { name, kind }: Target, advice = '') =>
  invalidRequest([{ path, code: 'invalid', message: `is not for ${name}, a target of kind ${kind}${advice}` }])

/** Throws `invalid_request` if the target is not a sink. */
function requireSink(target: Target, path: string): Target {
  if (isSink(target.kind)) return target
  throw notForKind(path, target)
}

/** Routes for pushes to targets: request, list and compare. */
export const syncRoutes: FastifyPluginCallbackTypebox<SyncRoutesOptions> = (app, options, done) => {
  const { sql, cursors, encryptionKey, exports, scheduler } = options
  const verifications = createConcurrencyLimit(VERIFICATIONS, VERIFICATION_WAIT_MS)
  const read = { scope: 'users:read' } as const
  const tags = ['sync']

  app.post(
    '/v1/sync',
    {
      config: { scope: 'users:write' },
      schema: {
        operationId: 'createSyncRun',
        tags,
        summary: 'Push to a target',
        description:
          'Queues a run that sends what the target lacks or, with `full`, everything. If a run is already queued, it is reused. One run per target is in progress at a time. With `dry_run` (sinks; scope `admin`, since it shows the mapping) nothing is sent.',
        querystring: PoolQuery,
        body: RunBody,
        example: { target: 'tester' },
        response: { 200: DryRunResponse, 202: RunResponse },
        problems: ['target_not_found'],
      },
    },
    async (request, reply) => {
      const { target, full = false, dry_run: isDryRun = false } = request.body
      const pool = poolOf(request)
      const poolId = await findPoolId(sql, pool)
      if (isDryRun) {
        requireScope(request, 'admin', 'dry_run')
        const sink = requireSink(await readTarget(sql, encryptionKey, poolId, target), 'body.dry_run')
        return { target, dry_run: true, ...(await dryRun({ sql, exports, encryptionKey }, sink, full)) }
      }
      const run = await requestRun(sql, poolId, target, { full })
      scheduler.wake()
      const location = urlInPool(`/v1/sync/runs/${run.id}`, pool)
      return reply.code(202).header('location', location).send(run)
    },
  )

  app.post(
    '/v1/targets/:name/clear',
    {
      config: { scope: 'users:write' },
      schema: {
        operationId: 'clearTarget',
        tags,
        summary: 'Remove all our users from a sink',
        description:
          'Queues a run that removes what we put there, and nothing else. It ends the interval of the target, whose next run would put the users back; POST /v1/sync does so on request.',
        params: TargetPath,
        querystring: PoolQuery,
        response: { 202: RunResponse },
        problems: ['target_not_found'],
      },
    },
    async (request, reply) => {
      const pool = poolOf(request)
      const poolId = await findPoolId(sql, pool)
      const { name } = requireSink(await readTarget(sql, encryptionKey, poolId, request.params.name), 'path.name')
      const run = await requestClear(sql, poolId, name)
      scheduler.wake()
      return reply
        .code(202)
        .header('location', urlInPool(`/v1/sync/runs/${run.id}`, pool))
        .send(run)
    },
  )

  app.get(
    '/v1/targets/:name/failures',
    {
      config: read,
      schema: {
        operationId: 'listTargetFailures',
        tags,
        summary: 'List the users that a sink refused, by id',
        params: TargetPath,
        querystring: strict({ ...poolParam, ...pageParams }),
        response: { 200: pageOf(FailureResponse) },
        problems: ['target_not_found'],
      },
    },
    async (request, reply) => {
      const { limit = 100, cursor } = request.query
      const poolId = await poolIdOf(sql, request)
      const { name } = await readTarget(sql, encryptionKey, poolId, request.params.name)
      const listing = `failures ${poolId} ${name}`
      const after = cursors.decode(listing, cursor) ?? FIRST_ID
      const page = await listFailures(sql, { poolId, name, after, limit })
      return makePage({ request, reply, cursors, listing }, page, ({ user_id }) => user_id)
    },
  )

  app.get(
    '/v1/sync/runs',
    {
      config: read,
      schema: {
        operationId: 'listSyncRuns',
        tags,
        summary: 'List the runs, newest first',
        querystring: strict({ ...poolParam, ...pageParams, target: Type.Optional(TargetName) }),
        response: { 200: pageOf(RunResponse) },
        problems: ['target_not_found'],
      },
    },
    async (request, reply) => {
      const { limit = 100, cursor, target } = request.query
      const poolId = await poolIdOf(sql, request)
      if (target !== undefined) await readTarget(sql, encryptionKey, poolId, target)
      const listing = `sync runs ${poolId} ${target ?? ''}`
      const { rows, hasMore } = await listRuns(sql, { poolId, target, before: cursors.decode(listing, cursor), limit })
      const shown = request.scopes.has('admin') ? rows : await withoutWideStates(sql, poolId, rows)
      return makePage({ request, reply, cursors, listing }, { rows: shown, hasMore }, ({ id }) => id)
    },
  )

  app.get(
    '/v1/sync/runs/:id',
    {
      config: read,
      schema: {
        operationId: 'getSyncRun',
        tags,
        summary: 'Read a run',
        params: Type.Object({ id: Uuid }),
        querystring: PoolQuery,
        response: { 200: RunResponse },
        problems: ['sync_run_not_found'],
      },
    },
    async (request) => {
      const poolId = await poolIdOf(sql, request)
      const run = await readRun(sql, poolId, request.params.id)
      if (request.scopes.has('admin')) return run
      const [shown] = await withoutWideStates(sql, poolId, [run])
      return shown ?? run
    },
  )

  app.get(
    '/v1/sync/status',
    {
      config: read,
      schema: {
        operationId: 'getSyncStatus',
        tags,
        summary: 'Compare the states of all targets with ours',
        description:
          'Calls all targets at once, or the one of `target`, for at most 5 s; this costs one look-up on each side. Targets with `test_users_only: false` are shown to keys with `admin` only.',
        querystring: strict({ ...poolParam, target: Type.Optional(TargetName) }),
        response: { 200: Type.Object({ items: Type.Array(StatusResponse) }) },
        problems: ['target_not_found'],
      },
    },
    async (request) => {
      const { target: name } = request.query
      const poolId = await poolIdOf(sql, request)
      const targets =
        name === undefined
          ? (await listTargets(sql, encryptionKey, { poolId, after: '', limit: MAX_TARGETS })).rows
          : [await readTarget(sql, encryptionKey, poolId, name)]
      // A state of all users, without `test_users_only`, is for `admin` only, here as elsewhere.
      const shown = targets.filter(({ filter }) => filter.testUsersOnly || request.scopes.has('admin'))
      const [statuses, last] = await Promise.all([
        Promise.all(shown.map((target) => targetStatus(sql, exports, target))),
        lastRuns(sql, poolId),
      ])
      return { items: statuses.map((status) => ({ ...status, last_run: last.get(status.target) ?? null })) }
    },
  )

  app.post(
    '/v1/sync/verify',
    {
      config: { scope: 'users:read', work: true },
      schema: {
        operationId: 'verifyTarget',
        tags,
        summary: 'Compare a target with ours, user by user',
        description:
          'Reads all users on both sides, computes both states from scratch, and lists the users that are missing at the target, extra there, or changed. Changes made meanwhile show as differences. The target’s key needs `users:read`. A target with `test_users_only: false` needs the scope `admin` here.',
        querystring: PoolQuery,
        body: strict({ ...poolParam, target: TargetName }),
        example: { target: 'tester' },
        response: { 200: VerifyResponse },
        problems: ['target_not_found', 'target_failed'],
      },
    },
    async (request) => {
      const poolId = await poolIdOf(sql, request)
      const target = await readTarget(sql, encryptionKey, poolId, request.body.target)
      if (!target.filter.testUsersOnly) requireScope(request, 'admin', 'A target with test_users_only=false')
      if (isSink(target.kind)) throw notForKind('body.target', target, VERIFY_A_SINK)
      const release = await verifications.acquire()
      try {
        const compared = await verifyTarget(exports, target)
        const { local, remote } = compared
        const states = [local.state, local.recomputed_state, remote.state, remote.recomputed_state]
        return { target: target.name, in_step: new Set(states).size === 1, ...compared }
      } finally {
        release()
      }
    },
  )

  done()
}
