import { randomUUID } from 'node:crypto'
import { PeerError } from '../../../client/peer.ts'
import { retry } from '../../../client/retry.ts'
import { isAbsent } from '../api-requests.ts'
import type { CallApi } from '../json-api.ts'
import type { Removal } from '../kind.ts'

/**
 * How many users are looked up by one filter: `externalId eq "…" or externalId eq "…"`. With 25 the URL has 1,900 characters; IIS
 * takes 2,048.
 */
const MAX_FILTERED = 25

/** Finds our users at a server. Nothing that a server answers is believed unless it carries our id. */
export interface LookUp {
  /** Checks that the server filters users by externalId. Throws PeerError. */
  probe(): Promise<void>
  /** Returns the server's ids of those of our users that it has. */
  find(userIds: string[]): Promise<Map<string, string>>
  /**
   * Returns the server's ids of those users that it has. Their known ids are not enough: a server that was reset may have given them to
   * somebody else. Those that the filter does not find are read by their id, since the index of a server may lag behind. Those whose id
   * nobody has are returned, too, since reads may lag behind: a request for them meets a 404 if they are gone.
   */
  findHeld(users: Removal[]): Promise<Map<string, string>>
  /**
   * Whether the resource with this id at the server is that user, which was just created. Waits for a server whose reads lag behind. Throws
   * PeerError if it never shows the user.
   */
  isNewOneOurs(userId: string, id: string): Promise<boolean>
}

/** How often a look-up is tried. Many users of a batch depend on each. */
const ATTEMPTS = 4

/** How often a user that was just created is read: for up to 12 s. */
const NEW_ATTEMPTS = 8

export function createLookUp(callOnce: CallApi, signal: AbortSignal): LookUp {
  const call: CallApi = (request) =>
    retry(() => callOnce(request), { maxAttempts: ATTEMPTS, signal, firstPauseMs: 100 })
  let maxFiltered = MAX_FILTERED

  const lookUp: LookUp = {
    async probe() {
      await lookUp.find([randomUUID()])
    },
    async find(userIds) {
      const found = new Map<string, string>()
      for (let n = 0; n < userIds.length; ) {
        const some = userIds.slice(n, n + maxFiltered)
        const { resources, isWhole } = await filter(call, some)
        for (const { externalId, id } of resources) found.set(externalId, id)
        if (isWhole || (some.length === 1 && resources.length > 0)) n += some.length
        else if (some.length > 1) maxFiltered = Math.max(1, Math.min(resources.length, some.length - 1))
        else throw new PeerError('refused', 'The server does not filter users by externalId.')
      }
      return found
    },
    async findHeld(users) {
      const found = await lookUp.find(users.map(({ userId }) => userId))
      for (const { userId, external } of users) {
        if (found.has(userId)) continue
        const owner = (await ownerOf(call, external)) ?? userId
        if (owner === userId) found.set(userId, external)
      }
      return found
    },
    async isNewOneOurs(userId, id) {
      const read = async () => {
        const owner = await ownerOf(callOnce, id)
        if (owner !== undefined) return owner === userId
        throw new PeerError('server_error', 'The server does not show a user that it has just created.')
      }
      return await retry(read, { maxAttempts: NEW_ATTEMPTS, signal, firstPauseMs: 100 })
    },
  }
  return lookUp
}

/** The id of our user that has this id at the server; empty if it is nobody of ours. Undefined: nobody has it there. */
async function ownerOf(call: CallApi, id: string): Promise<string | undefined> {
  const answer = await call({ method: 'GET', path: userPath(id) })
  if (isAbsent(answer)) return undefined
  return (answer.status === 200 && asResource(answer.json)?.externalId) || ''
}

/** The path of a user. An id may have any characters. */
export const userPath = (id: string) => `/Users/${encodeURIComponent(id)}`

interface Marked {
  id: string
  externalId: string
}

/** Returns those of the users that the server has. Not all of them if its pages are small, none if it takes no such filter. */
async function filter(call: CallApi, userIds: string[]): Promise<{ resources: Marked[]; isWhole: boolean }> {
  const expression = userIds.map((userId) => `externalId eq "${userId}"`).join(' or ')
  const query = `filter=${encodeURIComponent(expression)}&attributes=id,externalId&count=${userIds.length}`
  const { status, json } = await call({ method: 'GET', path: `/Users?${query}` })
  const { Resources: list = [], totalResults } = (json ?? {}) as { Resources?: unknown; totalResults?: unknown }
  // Something else with status 200 must not mean that nobody is there.
  if (status !== 200 || !Array.isArray(list) || typeof totalResults !== 'number')
    return { resources: [], isWhole: false }
  const resources = list.flatMap((resource) => asResource(resource) ?? [])
  // It would return users of others, and ours only if they happen to be on the first page.
  if (resources.length < list.length || resources.some(({ externalId }) => !userIds.includes(externalId)))
    throw new PeerError('refused', 'The server ignores filters by externalId: it returns users that have another one.')
  return { resources, isWhole: totalResults <= resources.length }
}

function asResource(json: unknown): Marked | undefined {
  const { id, externalId } = (json ?? {}) as Record<string, unknown>
  return typeof id === 'string' && typeof externalId === 'string' ? { id, externalId } : undefined
}
