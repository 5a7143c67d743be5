import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { Sql } from 'postgres'
import { Type } from 'typebox'
import type { MemoryGuard } from '../memory-guard.ts'

const Readiness = Type.Object({
  status: Type.Enum(['ready', 'not_ready']),
  reasons: Type.Array(Type.String(), { description: 'Why the service is not ready' }),
  warnings: Type.Optional(
    Type.Array(Type.String(), { description: 'What it refuses though it is ready; /healthz only' }),
  ),
})

interface HealthOptions {
  sql: Sql
  /** Why the process takes no work at the moment, apart from the database; empty when it does. */
  reasonsToRefuse: () => string[]
  memory: MemoryGuard
}

/** How long the readiness check waits for the database: who asks has a second's patience (Kubernetes' default). */
const DATABASE_DEADLINE_MS = 800

/** What orchestrators ask: `/livez` looks at the process alone, `/readyz` and `/healthz` at the database as well. */
export const healthRoutes: FastifyPluginCallbackTypebox<HealthOptions> = (
  app,
  { sql, reasonsToRefuse, memory },
  done,
) => {
  app.get('/livez', { schema: { tags: ['operations'], summary: 'The process answers' } }, () => ({ status: 'live' }))

  for (const path of ['/readyz', '/healthz']) {
    app.get(
      path,
      { schema: { tags: ['operations'], summary: 'Ready for work', response: { 200: Readiness, 503: Readiness } } },
      async (_request, reply) => {
        const reasons = reasonsToRefuse()
        if (!(await answersInTime(sql))) reasons.push('database')
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
