import type { FastifyBaseLogger } from 'fastify'

/** The exit codes that shells report for a process that a signal ended. */
export const STOP_CODES = { SIGINT: 130, SIGTERM: 143 } as const
export type StopSignal = keyof typeof STOP_CODES

/** The reason with which a program aborts its work after a signal. */
export class Stopped extends Error {
  override name = 'Stopped'
  readonly exitCode: number

  constructor(signal: StopSignal) {
    super(`ended by ${signal}`)
    this.exitCode = STOP_CODES[signal]
  }
}

/** npm passes on what the terminal has sent to it and to us: such a second one comes within a millisecond or so. */
const SAME_MS = 300

/** Calls `stop` on the first SIGINT or SIGTERM. A later one, from an operator who will not wait, ends the process at once. */
export function onStopSignal(stop: (signal: StopSignal) => void): void {
  let firstAt: number | undefined
  for (const signal of Object.keys(STOP_CODES) as StopSignal[]) {
    process.on(signal, () => {
      if (firstAt === undefined) {
        firstAt = performance.now()
        stop(signal)
      } else if (performance.now() - firstAt > SAME_MS) {
        process.exit(STOP_CODES[signal])
      }
    })
  }
}

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
