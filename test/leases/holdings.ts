interface Holding {
  fence: number
  /** By `performance.now()`: the holder may use the user until then. */
  until: number
}

/** A lease as its holder knows it. */
export interface Held {
  fence: number
  users: { id: string }[]
}

/** Which caller may use which user until when, as the callers together know it. Two at a time, or a smaller fence, is a fault. */
export class Holdings {
  readonly #held = new Map<string, Holding>()
  readonly #onFault: (fault: string) => void

  constructor(onFault: (fault: string) => void) {
    this.#onFault = onFault
  }

  /**
   * A caller has these users until then, measured from before its request, so that it is never too late. A response that arrives
   * after that gives the caller nothing: the users may have had other holders meanwhile.
   */
  take({ users, fence }: Held, until: number): void {
    if (until <= performance.now()) return
    for (const { id } of users) {
      const other = this.#held.get(id)
      if (other && other.until > performance.now())
        this.#onFault(`${id}: fence ${fence} while the holder of fence ${other.fence} may use it`)
      if (other && other.fence > fence) this.#onFault(`${id}: fence ${fence} after fence ${other.fence}`)
      this.#held.set(id, { fence, until })
    }
  }

  /** The caller may use its users until then; 0: it does not any more. Users that have another holder stay as they are. */
  setUntil({ users, fence }: Held, until: number): void {
    for (const { id } of users) if (this.#held.get(id)?.fence === fence) this.#held.set(id, { fence, until })
  }

  /** The ids of all users that somebody has had. */
  userIds(): string[] {
    return [...this.#held.keys()]
  }
}
