/** The exit codes that shells report for a process that a signal ended. */
export const STOP_CODES = { SIGINT: 130, SIGTERM: 143 } as const
export type StopSignal = keyof typeof STOP_CODES

/** A terminal sends the signal to npm and to us, and npm forwards it: the duplicate arrives within about a millisecond. */
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
