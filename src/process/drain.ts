import type { FastifyBaseLogger } from 'fastify'

interface DrainStep {
  step: string
  /** The timeout of the step. */
  milliseconds: number
  run: () => Promise<unknown>
}

/** Runs the shutdown steps in order. A step that fails or times out is logged, and the next one starts. */
export async function drain(log: FastifyBaseLogger, steps: DrainStep[]): Promise<void> {
  for (const { step, milliseconds, run } of steps) {
    const { promise: late, resolve } = Promise.withResolvers<'late'>()
    const timer = setTimeout(resolve, milliseconds, 'late')
    try {
      if ((await Promise.race([run(), late])) === 'late') log.warn({ step, milliseconds }, 'shutdown step timed out')
    } catch (error) {
      log.warn({ step, err: error }, 'shutdown step failed')
    } finally {
      clearTimeout(timer)
    }
  }
}
