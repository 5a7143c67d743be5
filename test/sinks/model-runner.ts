import { PeerError } from '../../src/client/peer.ts'
import { byRequest, type Reply } from '../../src/sync/kinds/by-request.ts'
import type { Announce } from '../../src/sync/kinds/kind.ts'
import { type Content, type Fault, Killed, type System } from './model-system.ts'

/* A model of the runner and its record (run-sink.ts, announcements.ts), without a database: what is recorded survives a kill. */

interface Row {
  external: string | null
  marker?: string
  next?: string | null
}

const BATCH = 3

export class Runner {
  private record = new Map<string, Row>()
  private system: System

  constructor(system: System) {
    this.system = system
  }

  /** Sends all wanted users, and removes the others. Faults may end it early. Returns the ids of the users that were refused. */
  async run(wanted: Map<string, Content>, faults: Fault[]): Promise<string[]> {
    this.system.settle()
    const sink = byRequest(this.system.requests(faults), new AbortController().signal, 0)
    const refused: string[] = []
    try {
      for (const row of this.record.values()) {
        if (row.marker === undefined) continue
        if ((await sink.outcomeOf(row.marker)) !== 'aborted') row.external = row.next ?? null
        delete row.marker
      }
      const removals = [...this.record.keys()].filter((id) => !wanted.has(id))
      for (const id of removals) if (this.record.get(id)?.external === null) this.record.delete(id)
      for (const batch of inBatches(removals.filter((id) => this.record.has(id)))) {
        const users = batch.map((userId) => ({ userId, external: this.record.get(userId)?.external ?? '' }))
        refused.push(...this.settle(await sink.remove(users, this.announce)))
      }
      for (const batch of inBatches([...wanted])) {
        const users = batch.map(([userId, rendered]) => {
          const row = this.record.get(userId) ?? { external: null }
          this.record.set(userId, row)
          return { userId, rendered, external: row.external }
        })
        refused.push(...this.settle(await sink.send(users, this.announce)))
      }
    } catch (error) {
      if (!(error instanceof Killed) && !(error instanceof PeerError)) throw error
    }
    return refused
  }

  private announce: Announce = (marker, outcomes) => {
    for (const { userId, external } of outcomes) {
      const row = this.record.get(userId)
      if (!row || row.marker !== undefined) throw new Error(`${userId} is announced twice`)
      row.marker = marker
      row.next = external
    }
    return Promise.resolve()
  }

  private settle(replies: Reply[]): string[] {
    const refused: string[] = []
    for (const reply of replies) {
      const { userId, external } = reply
      const isRefused = !('fault' in reply) && reply.refusal !== undefined
      if (isRefused) refused.push(userId)
      if (external === null && !isRefused) this.record.delete(userId)
      else this.record.set(userId, { external })
    }
    return refused
  }
}

const inBatches = <Item>(items: Item[]): Item[][] =>
  Array.from({ length: Math.ceil(items.length / BATCH) }, (_, n) => items.slice(n * BATCH, (n + 1) * BATCH))
