import { PeerError } from '../../client/peer.ts'
import { untrustedText } from '../../protocol/untrusted-text.ts'
import type { Reply, ReplyToKnown } from './by-request.ts'
import type { ApiAnswer, CallApi } from './json-api.ts'
import { type Failed, type Refusal, UNSURE } from './kind.ts'

/* How the users of a batch are sent to an API: each in a request of its own, or many in one. */

type User = { userId: string; external: string | null }

/** The reply for a user whose request met a fault that may pass. A creation may have been carried out. */
const failed = ({ userId, external }: User, fault: PeerError): Failed => ({
  userId,
  external: external ?? UNSURE,
  fault,
})

/**
 * Sends a request for each user, one after the other. Goes on after a 5xx and a 403, which one user may cause; ends after other faults,
 * such as 401 and 429, which all further requests would meet, too.
 */
export async function inTurn<Item extends User>(
  users: Item[],
  send: (user: Item) => Promise<ReplyToKnown>,
): Promise<ReplyToKnown[]> {
  const replies: ReplyToKnown[] = []
  let end: PeerError | undefined
  for (const user of users) {
    if (end) {
      replies.push({ userId: user.userId, external: user.external, fault: end })
      continue
    }
    try {
      replies.push(await send(user))
    } catch (error) {
      if (!(error instanceof PeerError)) throw error
      if (!error.mayConcernOne) end = error
      replies.push(failed(user, error))
    }
  }
  return replies
}

/**
 * Sends many users in one request that is carried out for all of them or for none. If the API refuses it because of single users, or fails
 * with a 5xx, it is halved until these are known: one in a hundred costs about ten more requests each. If the API fails with two single
 * users in a row, the fault is its own, and no part is halved until a request succeeds. `send` returns the replies, or why the request was
 * refused. Throws PeerError for faults that do not pass.
 */
export async function inHalves<Item extends User>(
  users: Item[],
  send: (users: Item[]) => Promise<Reply[] | Refusal>,
): Promise<Reply[]> {
  /** Single users in a row with which the API has failed. */
  let failures = 0

  async function sendPart(users: Item[]): Promise<Reply[]> {
    const [first] = users
    if (!first) return []
    const isSingle = users.length === 1
    try {
      const answer = await send(users)
      failures = 0
      if (Array.isArray(answer)) return answer
      if (isSingle) return [{ userId: first.userId, external: first.external, refusal: answer }]
    } catch (error) {
      const fault = retryableFault(error)
      if (isSingle) failures++
      if (isSingle || fault.fault !== 'server_error' || failures > 1) return users.map((user) => failed(user, fault))
    }
    const half = users.length >> 1
    const before = await sendPart(users.slice(0, half))
    return [...before, ...(await sendPart(users.slice(half)))]
  }

  return await sendPart(users)
}

/**
 * Creates users one by one until `keepsMark` says that the API has kept our mark of one, and then the rest together. Ends after a fault
 * that all further requests would meet, too, and after faults of two users in a row.
 */
export async function createChecked<Item extends User>(
  users: Item[],
  keepsMark: () => boolean,
  createOne: (user: Item) => Promise<Reply>,
  createRest: (users: Item[]) => Promise<Reply[]>,
): Promise<Reply[]> {
  const replies: Reply[] = []
  let failures = 0
  while (!keepsMark() && replies.length < users.length) {
    const reply = await createOne(users[replies.length] as Item)
    replies.push(reply)
    failures = 'fault' in reply ? failures + 1 : 0
    if (!('fault' in reply) || (failures === 1 && reply.fault.mayConcernOne)) continue
    const rest = users.slice(replies.length).map(({ userId }) => ({ userId, external: null, fault: reply.fault }))
    return [...replies, ...rest]
  }
  return [...replies, ...(await createRest(users.slice(replies.length)))]
}

/**
 * Removes a user that the API has created without our mark, and throws PeerError `refused` with `detail`. Nobody can find such a user by
 * our id, so the detail names it if the API does not remove it.
 */
export async function refuseUnmarked(call: CallApi, path: string, detail: string): Promise<never> {
  const left = (why: string) =>
    new PeerError(
      'refused',
      `${detail} ${untrustedText(path, 200)} was created and could not be removed: remove it. ${why}`,
    )
  try {
    const answer = await call({ method: 'DELETE', path })
    if (answer.status >= 300 && !isAbsent(answer))
      throw new PeerError('refused', `The target answers with status ${answer.status}.`)
  } catch (error) {
    throw error instanceof PeerError ? left(error.message) : error
  }
  throw new PeerError('refused', detail)
}

function retryableFault(error: unknown): PeerError {
  if (error instanceof PeerError && error.isRetryable) return error
  throw error
}

/** Why an API refuses a user, in our own words: its text may contain anything. */
export const statusRefusal = (name: string, { status }: Pick<ApiAnswer, 'status'>): Refusal =>
  status === 409
    ? { code: 'exists_already', detail: `${name} has another user with the same unique value (status 409).` }
    : { code: 'refused', detail: `${name} refuses the user (status ${status}).` }

/**
 * Whether an answer says that a user is not there. Throws PeerError `server_error` for a 404 that is not the API's: a proxy that has lost
 * the system sends one, and a user that it is believed about would stay in the system, and be forgotten here.
 */
export function isAbsent({ status, isForeign }: Pick<ApiAnswer, 'status' | 'isForeign'>): boolean {
  const isMissing = status === 404 || status === 410
  if (isMissing && isForeign)
    throw new PeerError('server_error', `Something else than the API answers, with status ${status} and no JSON.`)
  return isMissing
}

/** The members of a JSON object; empty if the value is none. */
export const membersOf = (json: unknown): Record<string, unknown> =>
  typeof json === 'object' && json !== null && !Array.isArray(json) ? (json as Record<string, unknown>) : {}
