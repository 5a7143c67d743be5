import type { FastifyInstance } from 'fastify'
import plugin from 'fastify-plugin'
import { Problem } from '../errors.ts'
import type { MemoryGuard } from '../memory-guard.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route begins work that takes memory for a while: it is refused while there is too little. */
    work?: true
  }
}

/** Refuses new work while memory is above its limit, at once and saying so; what is cheap goes on. */
export const workAdmission = plugin<{ memory: MemoryGuard }>(
  (app: FastifyInstance, { memory }, done) => {
    app.addHook('onRequest', (request, _reply, next) => {
      if (!memory.isOver() || !request.routeOptions.config.work) return next()
      const headers = { 'retry-after': '5' }
      next(
        new Problem('overloaded', 'Memory is above its limit. Work that was accepted goes on; try again.', { headers }),
      )
    })
    done()
  },
  { name: 'work-admission', dependencies: ['error-answers'] },
)
