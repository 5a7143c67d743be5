import { PeerError } from '../../src/client/peer.ts'
import type { Reply, ReplyToKnown, Requests } from '../../src/sync/kinds/by-request.ts'
import { UNSURE } from '../../src/sync/kinds/kind.ts'

/* A model of a system under test without transactions, with an API that fails in all ways. */

/** What a request does besides its task. `late`: the connection breaks, and the request takes effect later in the same run. */
export const FAULTS = ['none', 'before', 'after', 'late', 'poison', 'killed before', 'killed after'] as const

export type Fault = (typeof FAULTS)[number]

/** The process of the service ended. */
export class Killed extends Error {}

/** What a user is rendered to. Names are unique in the system. */
export interface Content {
  name: string
  version: number
}

interface Entry extends Content {
  /** The id of our user. Undefined for a user of somebody else. */
  mark?: string
}

export class System {
  /** By id. */
  users = new Map<string, Entry>()
  private lastId = 0
  /** Requests that take effect later. */
  private late: (() => void)[] = []

  add(entry: Entry): string {
    const id = String(++this.lastId)
    this.users.set(id, entry)
    return id
  }

  settle(): void {
    for (const effect of this.late.splice(0)) effect()
  }

  /** All users are gone, and ids begin with 1 again: those of others get the ids that ours had. No request outlives that. */
  reset(): void {
    this.late.length = 0
    this.users.clear()
    this.lastId = 0
    for (let n = 0; n < 3; n++) this.add({ name: `reset ${n}`, version: 0 })
  }

  /** Somebody else removes a user of ours. Requests may take effect after that. */
  lose(userId: string): void {
    for (const [id, { mark }] of this.users) if (mark === userId) this.users.delete(id)
  }

  isTaken = (name: string, id?: string): boolean =>
    [...this.users].some(([other, entry]) => entry.name === name && other !== id)

  /** An API whose requests meet these faults, one each, and then none. */
  requests(faults: Fault[]): Requests<Content> {
    const draws = [...faults]
    const unreachable = () => new PeerError('unreachable', 'The connection broke.')

    const act = (external: string | null, userId: string, effect: () => ReplyToKnown): ReplyToKnown => {
      const fault = draws.shift() ?? 'none'
      if (fault === 'poison') return { userId, external, fault: new PeerError('server_error', 'Status 500.') }
      if (fault === 'killed before') throw new Killed()
      if (fault === 'late') this.late.push(effect)
      const reply = fault === 'before' || fault === 'late' ? undefined : effect()
      if (fault === 'killed after') throw new Killed()
      return fault === 'none' && reply ? reply : { userId, external, fault: unreachable() }
    }

    const create = (userId: string, content: Content): Reply => {
      if (!this.isTaken(content.name)) return { userId, external: this.add({ ...content, mark: userId }) }
      return { userId, external: null, refusal: { code: 'exists_already', detail: '' } }
    }

    return {
      probe: () => Promise.resolve(),
      close: () => Promise.resolve(),
      find: (users) =>
        Promise.try(() => {
          const fault = draws.shift() ?? 'none'
          if (fault.startsWith('killed')) throw new Killed()
          if (fault !== 'none') throw unreachable()
          const wanted = new Set(users.map(({ userId }) => userId))
          const found = [...this.users].flatMap(([id, { mark }]) =>
            mark !== undefined && wanted.has(mark) ? [[mark, id] as const] : [],
          )
          return new Map(found)
        }),
      create: (users) =>
        Promise.try(() => {
          this.settle()
          return users.map(({ userId, rendered }) => act(UNSURE, userId, () => create(userId, rendered)))
        }),
      change: (users) =>
        Promise.try(() =>
          users.map(({ userId, external, rendered }) =>
            act(external, userId, () => {
              if (this.users.get(external)?.mark !== userId) return { userId, external: null, mayHaveMoved: true }
              if (this.isTaken(rendered.name, external))
                return { userId, external, refusal: { code: 'exists_already', detail: '' } }
              this.users.set(external, { ...rendered, mark: userId })
              return { userId, external }
            }),
          ),
        ),
      remove: (users) =>
        Promise.try(() =>
          users.map(({ userId, external }) =>
            act(external, userId, () => {
              if (this.users.get(external)?.mark !== userId) return { userId, external: null, mayHaveMoved: true }
              this.users.delete(external)
              return { userId, external: null }
            }),
          ),
        ),
    }
  }
}
