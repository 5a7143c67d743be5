import type { Connection } from './connection.ts'
import { UsersyncError } from './errors.ts'
import {
  type ExportHead,
  type ExportQuery,
  type OpenExport,
  openExport,
  type UnchangedExport,
  type User,
} from './export.ts'
import { findExport } from './find-export.ts'
import { sleep } from './signals.ts'
import { digestOf, isEqual, StateSum, type Words } from './state.ts'

export interface FollowOptions
  extends Pick<ExportQuery, 'pool' | 'batch_id' | 'test_users_only' | 'bulk_users_only' | 'include'> {
  /** Pause between requests, in milliseconds. Default: 5,000. A request without news costs the service one row. */
  everyMs?: number | undefined
  /** How long the service may be unreachable before the loop throws, in milliseconds. Default: 600,000. */
  patienceMs?: number | undefined
  /** Ends the loop, without an error. */
  signal?: AbortSignal | undefined
}

/** What has changed between two states. */
export interface Change {
  /** `full`: the service sent all users, of which only those that differ are here. */
  kind: 'full' | 'delta'
  state: string
  added: User[]
  updated: User[]
  /** As they were. */
  deleted: User[]
}

/** The users of a response, read to its end and not applied yet. */
interface Staged {
  written: Map<string, { user: User; digest: Words }>
  deleted: Set<string>
  /** Of all users after they are applied. */
  sum: StateSum
  count: number
}

/**
 * Keeps a Map of users in step with the service, by deltas. `for await (const change of following)` requests, applies and yields
 * changes; nothing happens outside of the loop. The sum of the users is compared with the state that the service names; if it differs, the
 * full set is requested.
 */
export class Following {
  readonly #connection: Connection
  readonly #options: FollowOptions
  readonly #users = new Map<string, User>()
  readonly #digests = new Map<string, Words>()
  #sum = new StateSum()
  #state: string | undefined
  #poolCreated: string | null = null
  #turn: Promise<unknown> = Promise.resolve()

  constructor(connection: Connection, options: FollowOptions) {
    this.#connection = connection
    this.#options = options
  }

  /** The users by id: always those of one state, because a change is applied at once when it has arrived completely. */
  get users(): ReadonlyMap<string, User> {
    return this.#users
  }

  /** The state of the users; undefined before the first change. */
  get state(): string | undefined {
    return this.#state
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Change, void, void> {
    const { everyMs = 5_000, patienceMs = 600_000, signal } = this.#options
    let lastAnswer = performance.now()
    while (!signal?.aborted) {
      try {
        const change = await this.#inTurn(true)
        lastAnswer = performance.now()
        if (change) yield change
        await sleep(everyMs, signal)
      } catch (error) {
        if (signal?.aborted) return
        const isOver = performance.now() - lastAnswer > patienceMs
        if (!(error instanceof UsersyncError) || !error.isRetryable || isOver) throw error
        await sleep(everyMs, signal).catch(() => {})
      }
    }
  }

  /**
   * Requests what has changed and applies it. Undefined: nothing has. The loop does this; call it to decide when. The state is the current
   * one, while a cache may answer the loop with one of a second or two ago.
   */
  update(): Promise<Change | undefined> {
    return this.#inTurn(false)
  }

  #inTurn(mayBeCached: boolean): Promise<Change | undefined> {
    const turn = this.#turn.then(() => this.#update(mayBeCached))
    this.#turn = turn.catch(() => {})
    return turn
  }

  async #update(mayBeCached: boolean): Promise<Change | undefined> {
    const { everyMs: _every, patienceMs: _patience, signal, ...query } = this.#options
    const present = { state: this.#state, poolCreated: this.#poolCreated }
    try {
      const opened = await findExport(this.#connection, present, { query, signal, mayBeCached })
      // With logins: a pool that was deleted and created again may have the same state with other passwords.
      if (opened.head?.kind === 'full' || opened.poolCreated === this.#poolCreated) return await this.#take(opened)
      if (opened.head) await opened.end()
    } catch (error) {
      if (!(error instanceof UsersyncError) || error.code !== 'state_mismatch') throw error
    }
    // From the service itself: what was wrong may have come from a cache.
    return await this.#take(await openExport(this.#connection, { query, signal }))
  }

  async #take(opened: OpenExport | UnchangedExport): Promise<Change | undefined> {
    const { poolCreated } = opened
    if (!opened.head) return undefined
    const { head, rows } = opened
    const staged = await this.#stage(head.kind === 'full', rows)
    if (staged.sum.name() !== head.state || staged.count !== head.total_count) {
      throw new UsersyncError('state_mismatch', `The users do not match the state ${head.state}.`)
    }
    this.#poolCreated = poolCreated
    return this.#apply(staged, head)
  }

  async #stage(isFull: boolean, rows: OpenExport['rows']): Promise<Staged> {
    const staged: Staged = {
      written: new Map(),
      deleted: new Set(),
      sum: new StateSum(this.#sum),
      count: this.#users.size,
    }
    for await (const row of rows) {
      if ('deleted' in row) staged.deleted.add(row.deleted)
      else staged.written.set(row.user.id, { user: row.user, digest: digestOf(row.line) })
    }
    if (isFull) for (const id of this.#users.keys()) if (!staged.written.has(id)) staged.deleted.add(id)
    for (const id of [...staged.deleted, ...staged.written.keys()]) {
      const before = this.#digests.get(id)
      if (!before) continue
      staged.sum.remove(before)
      staged.count--
    }
    for (const { digest } of staged.written.values()) staged.sum.add(digest)
    staged.count += staged.written.size
    return staged
  }

  #apply({ written, deleted, sum }: Staged, { kind, state }: ExportHead): Change {
    const change: Change = { kind: kind === 'full' ? 'full' : 'delta', state, added: [], updated: [], deleted: [] }
    for (const id of deleted) {
      const before = this.#users.get(id)
      if (before) change.deleted.push(before)
      this.#users.delete(id)
      this.#digests.delete(id)
    }
    for (const [id, { user, digest }] of written) {
      const before = this.#users.get(id)
      if (!before) change.added.push(user)
      else if (!isSame(before, user) || !isEqual(this.#digests.get(id), digest)) change.updated.push(user)
      this.#users.set(id, user)
      this.#digests.set(id, digest)
    }
    this.#sum = sum
    this.#state = state
    return change
  }
}

/** Whether the credentials are the same, which are not part of the digest. */
const isSame = (one: User, other: User) =>
  one.password === other.password && one.password_hash === other.password_hash && one.totp_secret === other.totp_secret
