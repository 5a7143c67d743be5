/**
 * A signal that aborts with `parent`, or after `ms` without a `restart`. `end` releases the timer and the listener:
 * AbortSignal.any keeps each result alive as long as its sources, which for a signal of the whole program is a leak.
 */
export class Watchdog {
  readonly #controller = new AbortController()
  readonly #parent: AbortSignal | undefined
  readonly #ms: number
  readonly #reason: () => unknown
  readonly #follow = () => this.#controller.abort(this.#parent?.reason)
  #timer: ReturnType<typeof setTimeout> | undefined
  #isOver = false

  constructor(parent: AbortSignal | undefined, ms: number, reason: () => unknown) {
    this.#parent = parent
    this.#ms = ms
    this.#reason = reason
    if (parent?.aborted) this.#follow()
    else parent?.addEventListener('abort', this.#follow, { once: true })
    this.restart()
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  restart(): void {
    clearTimeout(this.#timer)
    if (this.#isOver) return
    if (this.#ms <= MAX_TIMER_MS) this.#timer = setTimeout(() => this.#controller.abort(this.#reason()), this.#ms)
  }

  abort(): void {
    this.#controller.abort()
    this.end()
  }

  /** A later `restart`, by a part of a body that comes after the response, has no effect. */
  end(): void {
    this.#isOver = true
    clearTimeout(this.#timer)
    this.#parent?.removeEventListener('abort', this.#follow)
  }
}

/** A timer of a longer time fires at once. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** Waits. Throws the reason of the signal if it aborts. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const abort = () => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort)
      resolve()
    }, ms)
    signal?.addEventListener('abort', abort, { once: true })
  })
}
