import { randomUUID } from 'node:crypto'
import { PeerError } from '../../../client/peer.ts'
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
   * somebody else. Those that the filter does not find are read by their id, since the index of a server may lag behind.
   */
  findHeld(users: Removal[]): Promise<Map<string, string>>
  /** Whether the resource with this id at the server is that user. */
  isOurs(userId: string, id: string): Promise<boolean>
}

export function createLookUp(call: CallApi): LookUp {
  let maxFiltered = MAX_FILTERED

  const lookUp: LookUp = {
    async probe() {
      await lookUp.find([randomUUID()])
    },
    async find(userIds) {
      const found = new Map<string, string>()
      for (let n = 0; n < userIds.length; ) {
        const some = userIds.slice(n, n + maxFiltered)
        const resources = await filter(call, some)
        if (resources) n += some.length
        else if (some.length === 1) throw new PeerError('refused', 'The server does not filter users by externalId.')
        else maxFiltered = 1
        for (const { externalId, id } of resources ?? []) found.set(externalId, id)
      }
      return found
    },
    async findHeld(users) {
      const found = await lookUp.find(users.map(({ userId }) => userId))
      for (const { userId, external } of users)
        if (!found.has(userId) && (await lookUp.isOurs(userId, external))) found.set(userId, external)
      return found
    },
    async isOurs(userId, id) {
      const { status, json } = await call({ method: 'GET', path: userPath(id) })
      return status === 200 && asResource(json)?.externalId === userId
    },
  }
  return lookUp
}

/** The path of a user. An id may have any characters. */
export const userPath = (id: string) => `/Users/${encodeURIComponent(id)}`

interface Marked {
  id: string
  externalId: string
}

/** Returns those of the users that the server has. Undefined if it does not answer such a filter, or with a part only. */
async function filter(call: CallApi, userIds: string[]): Promise<Marked[] | undefined> {
  const expression = userIds.map((userId) => `externalId eq "${userId}"`).join(' or ')
  const query = `filter=${encodeURIComponent(expression)}&attributes=id,externalId&count=${userIds.length}`
  const { status, json } = await call({ method: 'GET', path: `/Users?${query}` })
  const { Resources: resources = [], totalResults = 0 } = (json ?? {}) as { Resources?: unknown; totalResults?: number }
  if (status !== 200 || !Array.isArray(resources)) return undefined
  const marked = resources.map(asResource)
  // It would return users of others, and ours only if they happen to be on the first page.
  if (marked.some((resource) => !resource || !userIds.includes(resource.externalId)))
    throw new PeerError('refused', 'The server ignores filters by externalId: it returns users that have another one.')
  return totalResults > resources.length && userIds.length > 1 ? undefined : (marked as Marked[])
}

function asResource(json: unknown): Marked | undefined {
  const { id, externalId } = (json ?? {}) as Record<string, unknown>
  return typeof id === 'string' && typeof externalId === 'string' ? { id, externalId } : undefined
}
