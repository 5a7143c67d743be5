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
