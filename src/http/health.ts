import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { Sql } from 'postgres'
import { Type } from 'typebox'
import type { MemoryGuard } from '../process/memory-guard.ts'
import { named } from './schemas.ts'

const Readiness = named('Readiness', {
  status: Type.Enum(['ready', 'not_ready']),
  reasons: Type.Array(Type.String(), { description: 'Why the service is not ready' }),
  warnings: Type.Optional(
    Type.Array(Type.String(), { description: 'What the service rejects although it is ready; /healthz only' }),
  ),
  standbys: Type.Optional(
    Type.Array(Type.Object({ standby: Type.Integer(), status: Type.String() }), {
      description: 'Whether exports use each standby, in the order of READ_DATABASE_URL; /healthz only',
    }),
  ),
})

interface HealthOptions {
  /** A dedicated connection: a request that waits for a pooled one says nothing about the database. */
  sql: Sql
  /** Why the process accepts no work now, apart from the database; empty if it does. */
  reasonsToRefuse: () => string[]
  memory: MemoryGuard
  /** Undefined: no standbys. One that is passed over does not make the service unready. */
  standbys: { status(): { standby: number; status: string }[] } | undefined
}

/** Timeout of the database check: less than the default timeout of a Kubernetes probe, one second. */
const DATABASE_DEADLINE_MS = 800

/** Health probes: `/livez` checks only the process, `/readyz` and `/healthz` also check the database. */
export const healthRoutes: FastifyPluginCallbackTypebox<HealthOptions> = (
  app,
  { sql, reasonsToRefuse, memory, standbys },
  done,
) => {
  let looking: Promise<boolean> | undefined
  const isDatabaseReady = () => {
    looking ??= answersInTime(sql).finally(() => {
      looking = undefined
    })
    return looking
  }

  app.get(
    '/livez',
    {
      schema: {
        operationId: 'getLiveness',
        tags: ['operations'],
        summary: 'The process is alive',
        response: { 200: Type.Object({ status: Type.Literal('live') }) },
        problems: [],
      },
    },
    () => ({ status: 'live' as const }),
  )

  const ready = { tags: ['operations'], response: { 200: Readiness, 503: Readiness }, problems: [] }
  const described = {
    '/readyz': { ...ready, operationId: 'getReadiness', summary: 'Ready for work' },
    '/healthz': { ...ready, operationId: 'getHealth', summary: 'Ready for work, with warnings' },
  }
  for (const [path, schema] of Object.entries(described)) {
    app.get(path, { schema }, async (_request, reply) => {
      const reasons = reasonsToRefuse()
      if (!(await isDatabaseReady())) reasons.push('database')
      // Memory above its limit does not make the service unready: the orchestrator would take away a replica that still
      // responds, and its clients would overload the others.
      const detail = path === '/healthz' && {
        warnings: memory.isOver() ? ['memory'] : [],
        ...(standbys && { standbys: standbys.status() }),
      }
      if (reasons.length === 0) return { status: 'ready' as const, reasons, ...detail }
      return reply
        .code(503)
        .header('retry-after', '2')
        .send({ status: 'not_ready', reasons, ...detail })
    })
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
