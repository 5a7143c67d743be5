import type { FastifyBaseLogger } from 'fastify'

interface DrainStep {
  step: string
  /** The step's deadline. */
  milliseconds: number
  run: () => Promise<unknown>
}

/** Runs the steps of a stop one after the other. A step that fails or passes its deadline is logged, and left behind. */
export async function drain(log: FastifyBaseLogger, steps: DrainStep[]): Promise<void> {
  for (const { step, milliseconds, run } of steps) {
    const { promise: late, resolve } = Promise.withResolvers<'late'>()
    const timer = setTimeout(resolve, milliseconds, 'late')
    try {
      if ((await Promise.race([run(), late])) === 'late')
        log.warn({ step, milliseconds }, 'not ended in time; left behind')
    } catch (error) {
      log.warn({ step, err: error }, 'failed while stopping')
    } finally {
      clearTimeout(timer)
    }
  }
}
