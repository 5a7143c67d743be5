import { PeerError } from '../../../client/peer.ts'
import { splitName } from '../../../systems/distinguished-names.ts'
import type { Reply } from '../by-request.ts'
import { type Delivery, type Removal, UNSURE } from '../kind.ts'
import type { Directory, Mark } from './directory.ts'
import { CODES, faultOf, ResultError, refusalOf } from './faults.ts'
import type { RenderedEntry } from './mapping.ts'

/*
 * What a sink does with the entries of a batch. All requests of a batch are outstanding at once on one connection.
 *
 * An entry is ours if it has our id in the attribute that marks it. Every request but `add` names that mark, so the server refuses it for
 * another entry. An entry is identified by its name. One that is not there any more is looked up by its id: somebody may have renamed or
 * moved it, or the answer to our own renaming was lost.
 */

/** Where entries are, and how they are named and marked. */
export interface Place {
  base: string
  /** The attribute in the name. */
  naming: string
  /** The attribute that has the id. */
  marking: string
}

type Change = Delivery<RenderedEntry> & Removal

export async function createEntries(directory: Directory, users: Delivery<RenderedEntry>[]): Promise<Reply[]> {
  return await each(users, async ({ userId, rendered: { dn, attributes } }) => {
    const present = Object.entries(attributes).filter(([, values]) => values.length > 0)
    try {
      await directory.add(dn, Object.fromEntries(present))
      return { userId, external: dn }
    } catch (error) {
      return failed(error, { userId, external: null })
    }
  })
}

/** Changes entries. The reply for one that is gone has no `external`. */
export async function changeEntries(directory: Directory, place: Place, users: Change[]): Promise<Reply[]> {
  return await whereverTheyAre(directory, place, users, (user) => changeEntry(directory, place, user))
}

/** Removes entries. One that is gone is removed. */
export async function removeEntries(directory: Directory, place: Place, users: Removal[]): Promise<Reply[]> {
  return await whereverTheyAre(directory, place, users, async ({ userId, external }) => {
    await directory.remove(external, markOf(place, userId))
    return { userId, external: null }
  })
}

const markOf = ({ marking }: Place, userId: string): Mark => ({ attribute: marking, value: userId })

async function changeEntry(directory: Directory, place: Place, { userId, external, rendered }: Change): Promise<Reply> {
  const mark = markOf(place, userId)
  const { [place.naming]: [name] = [], ...attributes } = rendered.attributes
  const present = splitName(external)
  const isNamed = present?.attribute.toLowerCase() === place.naming.toLowerCase() && present.value === name
  const dn = isNamed ? external : `${rendered.rdn},${present?.parent ?? place.base}`
  if (!isNamed) await directory.rename(external, mark, rendered.rdn)
  // The system may have added object classes for attributes of its own.
  const changed = Object.entries(attributes).filter(([name]) => name.toLowerCase() !== 'objectclass')
  try {
    await directory.replace(dn, mark, Object.fromEntries(changed))
    return { userId, external: dn }
  } catch (error) {
    if (isGone(error)) throw error
    return failed(error, { userId, external: dn })
  }
}

/** Tries each user under its name. Those that are not there are looked up, and tried where they are. */
async function whereverTheyAre<User extends Removal>(
  directory: Directory,
  place: Place,
  users: User[],
  request: (user: User) => Promise<Reply>,
): Promise<Reply[]> {
  const gone: User[] = []
  const attempt = async (user: User) => {
    const { userId, external } = user
    try {
      return await request(user)
    } catch (error) {
      if (!isGone(error)) return failed(error, { userId, external })
      gone.push(user)
      return { userId, external: null }
    }
  }
  const replies = await each(users, attempt)
  if (gone.length === 0) return replies
  const found = await findEntries(directory, place, gone)
  const moved = gone.flatMap((user) => {
    const external = found.get(user.userId)
    return external === undefined ? [] : [{ ...user, external }]
  })
  const again = new Map((await each(moved, attempt)).map((reply) => [reply.userId, reply]))
  return replies.map((reply) => again.get(reply.userId) ?? reply)
}

/** No entry of ours has this name. */
const isGone = (error: unknown) =>
  error instanceof ResultError && (error.code === CODES.noSuchObject || error.code === CODES.assertionFailed)

/**
 * Sends the requests for all users, and waits for all of them, so that none is under way when this throws. A fault that does not pass,
 * such as a missing right, is a refusal if other users arrive.
 */
async function each<User>(users: User[], request: (user: User) => Promise<Reply>): Promise<Reply[]> {
  const settled = await Promise.allSettled(users.map(request))
  const replies = settled.map((end) => {
    if (end.status === 'rejected') throw end.reason
    return end.value
  })
  if (replies.every((reply) => 'fault' in reply)) return replies
  return replies.map((reply) => {
    if (!('fault' in reply) || reply.fault.isRetryable) return reply
    const { fault, ...user } = reply
    return { ...user, refusal: { code: 'refused', detail: fault.message } }
  })
}

/** The reply for a user whose request failed. `external` is what identifies it if the request did nothing. */
function failed(error: unknown, { userId, external }: Pick<Reply, 'userId' | 'external'>): Reply {
  const refusal = refusalOf(error)
  if (refusal) return { userId, external, refusal }
  const isUnanswered = error instanceof PeerError
  return { userId, external: isUnanswered ? (external ?? UNSURE) : external, fault: faultOf(error) }
}

/** Ids per search. Servers limit the length of filters, and OpenLDAP returns at most 500 entries. */
const IDS_A_SEARCH = 50

/** Returns the names of the entries with the ids of these users. */
export async function findEntries(
  directory: Directory,
  { base, marking }: Place,
  users: { userId: string }[],
): Promise<Map<string, string>> {
  const ids = new Set(users.map(({ userId }) => userId))
  const found = new Map<string, string>()
  for (let at = 0; at < users.length; at += IDS_A_SEARCH) {
    const wanted = [...ids].slice(at, at + IDS_A_SEARCH)
    for (const { dn, values } of await search(wanted)) {
      const id = values.map((value) => value.toLowerCase()).find((value) => ids.has(value))
      if (id !== undefined) found.set(id, dn)
    }
  }
  return found

  /** If the server returns fewer entries than that, the ids are searched in parts. */
  async function search(wanted: string[]): Promise<{ dn: string; values: string[] }[]> {
    try {
      return await directory.find(base, marking, wanted)
    } catch (error) {
      const { sizeLimitExceeded, adminLimitExceeded } = CODES
      const isLimit =
        error instanceof ResultError && (error.code === sizeLimitExceeded || error.code === adminLimitExceeded)
      if (!isLimit || wanted.length === 1) throw error
      const half = Math.ceil(wanted.length / 2)
      return [...(await search(wanted.slice(0, half))), ...(await search(wanted.slice(half)))]
    }
  }
}
