import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { Sql } from 'postgres'
import { Type } from 'typebox'
import type { MemoryGuard } from '../process/memory-guard.ts'

const Readiness = Type.Object({
  status: Type.Enum(['ready', 'not_ready']),
  reasons: Type.Array(Type.String(), { description: 'Why the service is not ready' }),
  warnings: Type.Optional(
    Type.Array(Type.String(), { description: 'What it refuses though it is ready; /healthz only' }),
  ),
})

interface HealthOptions {
  /** A connection that nothing else uses: a request that waits for one says nothing about the database. */
  sql: Sql
  /** Why the process takes no work at the moment, apart from the database; empty when it does. */
  reasonsToRefuse: () => string[]
  memory: MemoryGuard
}

/** How long the readiness check waits for the database: less than the second that a Kubernetes probe waits by default. */
const DATABASE_DEADLINE_MS = 800

/** The probes of an orchestrator: `/livez` checks the process alone, `/readyz` and `/healthz` the database as well. */
export const healthRoutes: FastifyPluginCallbackTypebox<HealthOptions> = (
  app,
  { sql, reasonsToRefuse, memory },
  done,
) => {
  let looking: Promise<boolean> | undefined
  const isDatabaseReady = () => {
    looking ??= answersInTime(sql).finally(() => {
      looking = undefined
    })
    return looking
  }

  app.get('/livez', { schema: { tags: ['operations'], summary: 'The process answers' } }, () => ({ status: 'live' }))

  for (const path of ['/readyz', '/healthz']) {
    app.get(
      path,
      { schema: { tags: ['operations'], summary: 'Ready for work', response: { 200: Readiness, 503: Readiness } } },
      async (_request, reply) => {
        const reasons = reasonsToRefuse()
        if (!(await isDatabaseReady())) reasons.push('database')
        // Memory above its limit is no reason: without traffic the orchestrator would take away what still answers, and the
        // clients would go to the other replicas.
        const detail = path === '/healthz' && { warnings: memory.isOver() ? ['memory'] : [] }
        if (reasons.length === 0) return { status: 'ready' as const, reasons, ...detail }
        return reply
          .code(503)
          .header('retry-after', '2')
          .send({ status: 'not_ready', reasons, ...detail })
      },
    )
  }
  done()
}

function answersInTime(sql: Sql): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const timer = setTimeout(resolve, DATABASE_DEADLINE_MS, false)
  sql`select 1`.then(
    () => resolve(true),
    () => resolve(false),
  )
  return promise.finally(() => clearTimeout(timer))
}
