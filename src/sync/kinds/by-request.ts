import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { PeerError } from '../../client/peer.ts'
import { type Announce, type Delivery, type Failed, type Outcome, type Removal, type Sink, UNSURE } from './kind.ts'

/*
 * A sink on a target without transactions, such as a directory or an API. Nobody can say afterwards whether a request that broke was
 * carried out. So the target itself is asked: each of our users there carries our id, and `find` looks it up.
 *
 * An example. A batch creates the users A and B. Both are recorded as UNSURE, A is created, and the process is killed. The next run
 * finds A by our id and changes it, does not find B, and creates it. If somebody else has a user with the name of B, `find` does not
 * return it, and `create` is refused with `exists_already`.
 *
 * A request may also take effect after its connection broke, and after `find` found nothing. Then `create` is refused because of our
 * own user. So refused names are looked up once more. If that does not show our user, since it lags behind, the user stays UNSURE:
 * without a record, it would be forgotten if it is deleted here.
 *
 * It may even take effect after its repetition created the user, and somebody else removed that one. Then our user is there with another
 * external id than the recorded one, as in a system that was rebuilt from an export of its users. So users that may have moved are
 * looked up once more, too.
 */

/** What a request did with a user: an outcome, or a fault that may pass. */
export type Reply = Outcome | Failed

/**
 * What became of a user that was to be changed or removed. `mayHaveMoved`: nothing of ours is there under the recorded external id, and
 * the kind has not looked under others.
 */
export type ReplyToKnown = Reply & { mayHaveMoved?: true }

/**
 * What a target's API can do. Each method throws PeerError for faults of the target as a whole. Those that return replies return one for
 * each user.
 */
export interface Requests<Rendered = unknown> {
  probe(): Promise<void>
  /** Returns what identifies those of the users that are at the target and carry our id. */
  find(users: { userId: string; rendered?: Rendered }[]): Promise<Map<string, string>>
  create(users: Delivery<Rendered>[]): Promise<Reply[]>
  /** Changes users. The outcome of a user that is not there any more has no `external`. */
  change(users: (Delivery<Rendered> & Removal)[]): Promise<ReplyToKnown[]>
  /** Removes users. One that is not there any more is removed. */
  remove(users: Removal[]): Promise<ReplyToKnown[]>
  close(): Promise<void>
}

/** How many rounds in a row may bring no user of the batch to the target. */
const FRUITLESS_ROUNDS = 4

const FIRST_PAUSE_MS = 200
const MAX_PAUSE_MS = 30_000

/** Makes a sink of requests. `signal` ends its waits. */
export function byRequest<Rendered>(
  requests: Requests<Rendered>,
  signal: AbortSignal,
  firstPauseMs = FIRST_PAUSE_MS,
): Sink<Rendered> {
  return {
    probe: () => requests.probe(),
    async send(users, announce: Announce) {
      await announce(
        `send ${randomUUID()}`,
        // Also those that are known: one that is gone is created with another external id.
        users.map(({ userId }) => ({ userId, external: UNSURE })),
      )
      return await inRounds(users, deliver)
    },
    async remove(users, announce: Announce) {
      await announce(
        `remove ${randomUUID()}`,
        users.map(({ userId }) => ({ userId, external: null })),
      )
      return await inRounds(users, removeFound)
    },
    // A removal is repeated. A creation or change is looked up: its users are UNSURE.
    outcomeOf: (marker) => Promise.resolve(marker.startsWith('remove ') ? 'aborted' : 'unknown'),
    close: () => requests.close(),
  }

  /**
   * Tries a batch in rounds, each with the users of the last one that met a fault. If no user of the batch arrives, the target as a
   * whole is at fault: this throws, and the runner waits longer. Otherwise users that still fail are refused, or returned with the fault
   * if it is none of a single user.
   */
  async function inRounds<Item extends { userId: string; external: string | null }>(
    items: Item[],
    task: (items: Item[]) => Promise<Reply[]>,
  ): Promise<Reply[]> {
    const outcomes: Reply[] = []
    let open = items
    for (let fruitless = 0; ; ) {
      const replies = await task(open).catch((error) => allFailed(open, error))
      const failed = replies.flatMap((reply) => ('fault' in reply ? [reply] : []))
      outcomes.push(...replies.flatMap((reply) => ('fault' in reply ? [] : [reply])))
      if (failed.length === 0) return outcomes
      if (outcomes.length === 0) throw worst(failed)
      fruitless = failed.length < open.length ? 0 : fruitless + 1
      const again = failed.filter(({ fault }) => fault.isRetryable && fruitless < FRUITLESS_ROUNDS)
      outcomes.push(...failed.filter((reply) => !again.includes(reply)).map(refused))
      if (again.length === 0) return outcomes
      const externals = new Map(again.map(({ userId, external }) => [userId, external]))
      open = items
        .filter(({ userId }) => externals.has(userId))
        .map((item) => ({ ...item, external: externals.get(item.userId) ?? null }))
      const wanted = Math.max(firstPauseMs * 2 ** fruitless, ...again.map(({ fault }) => fault.retryAfterMs))
      await sleep(Math.min(wanted, MAX_PAUSE_MS), undefined, { signal }).catch(() => signal.throwIfAborted())
    }
  }

  async function deliver(users: Delivery<Rendered>[]): Promise<Reply[]> {
    const located = await locate(users)
    const changed = await changeFound(located)
    const present = new Set(changed.map(({ userId }) => userId))
    const absent = located.filter(({ userId }) => !present.has(userId))
    const created =
      absent.length === 0 ? [] : await requests.create(absent.map((user) => ({ ...user, external: null })))
    const ours = await locateTaken(absent, created)
    const adopted = (await change(ours)).filter((reply) => !isGone(reply))
    const unsure = new Set(users.filter(({ external }) => external === UNSURE).map(({ userId }) => userId))
    return lastOfEach([...changed, ...created, ...adopted]).map((reply) =>
      reply.external === null && unsure.has(reply.userId) ? { ...reply, external: UNSURE } : reply,
    )
  }

  /** Changes the users that are at the target, wherever they are. */
  async function changeFound(users: Delivery<Rendered>[]): Promise<Reply[]> {
    const changed = await change(users)
    const elsewhere = await locateAgain(users, changed.filter(mayHaveMoved))
    return [...changed, ...(await change(elsewhere))].filter((reply) => !isGone(reply))
  }

  async function change(users: Delivery<Rendered>[]): Promise<ReplyToKnown[]> {
    const known = users.flatMap(({ external, ...user }) => (external === null ? [] : [{ ...user, external }]))
    return known.length === 0 ? [] : await requests.change(known)
  }

  /** Returns those of the users whose names are taken by our own. */
  async function locateTaken(users: Delivery<Rendered>[], created: Reply[]): Promise<Delivery<Rendered>[]> {
    const located = await locateAgain(users, created.filter(isTaken))
    return located.filter(({ external }) => external !== null)
  }

  async function removeFound(users: Removal[]): Promise<Reply[]> {
    const removed = await remove(await locate(users))
    const elsewhere = await locateAgain(users, removed.filter(mayHaveMoved))
    return lastOfEach([...removed, ...(await remove(elsewhere))])
  }

  async function remove(users: { userId: string; external: string | null }[]): Promise<ReplyToKnown[]> {
    const present = users.flatMap(({ userId, external }) => (external === null ? [] : [{ userId, external }]))
    const absent = users.flatMap(({ userId, external }) => (external === null ? [{ userId, external }] : []))
    return [...absent, ...(present.length === 0 ? [] : await requests.remove(present))]
  }

  /** Looks up those of the users that these replies are about, whatever is recorded. */
  async function locateAgain<Item extends { userId: string }>(items: Item[], replies: Reply[]) {
    const wanted = new Set(replies.map(({ userId }) => userId))
    return await locate(items.filter(({ userId }) => wanted.has(userId)).map((item) => ({ ...item, external: UNSURE })))
  }

  /** Looks up the users of which nobody knows whether they are at the target. */
  async function locate<Item extends { userId: string; external: string | null }>(
    items: Item[],
  ): Promise<(Item & { external: string | null })[]> {
    const unsure = items.filter(({ external }) => external === UNSURE)
    if (unsure.length === 0) return items
    const found = await requests.find(unsure)
    return items.map((item) =>
      item.external === UNSURE ? { ...item, external: found.get(item.userId) ?? null } : item,
    )
  }
}

/** The last reply of each user. */
const lastOfEach = (replies: Reply[]) => [...new Map(replies.map((reply) => [reply.userId, reply])).values()]

const mayHaveMoved = (reply: ReplyToKnown) => reply.mayHaveMoved === true

const isGone = (reply: Reply) => reply.external === null && !('fault' in reply) && reply.refusal === undefined

const isTaken = (reply: Reply) => !('fault' in reply) && reply.refusal?.code === 'exists_already'

/** The fault to throw for a batch of which no user arrives: one that does not pass says what to mend. */
const worst = (failed: Failed[]) =>
  failed.map(({ fault }) => fault).toSorted((a, b) => +a.isRetryable - +b.isRetryable)[0]

/** The replies after a fault of a whole round, such as a failed look-up. Throws faults that do not pass. */
function allFailed(items: { userId: string; external: string | null }[], error: unknown): Failed[] {
  if (!(error instanceof PeerError && error.isRetryable)) throw error
  return items.map(({ userId, external }) => ({ userId, external: external ?? UNSURE, fault: error }))
}

/** The reply for a user that met faults while others arrived: a refusal, if the fault may be one of a single user. */
function refused({ userId, external, fault }: Failed): Reply {
  if (!fault.mayConcernOne) return { userId, external, fault }
  if (!fault.isRetryable) return { userId, external, refusal: { code: 'refused', detail: fault.message } }
  const detail = `${fault.message} ${FRUITLESS_ROUNDS} attempts failed.`
  return { userId, external, refusal: { code: 'unavailable', detail } }
}
