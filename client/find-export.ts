import type { Call, Connection } from './connection.ts'
import { notUsersync, UsersyncError } from './errors.ts'
import {
  type Address,
  type ExportQuery,
  type OpenExport,
  openAddress,
  openExport,
  type UnchangedExport,
} from './export.ts'

/** What a client has. */
export interface ClientState {
  state: string | undefined
  /** When the pool was created, if the client has logins. */
  poolCreated: string | null
}

interface FindOptions {
  /** No shard: states are those of the whole filter. */
  query: Omit<ExportQuery, 'base' | 'differential' | 'format' | 'shard'>
  signal: AbortSignal | undefined
  /** A cache may answer with the state of a second or two ago. */
  mayBeCached: boolean
}

/** How many addresses are tried: the one that the look-up leads to, and the one that the service then names. */
const MAX_ADDRESSES = 2

/**
 * Opens what leads from the state that the client has to the current one.
 *
 * Looks up the current state, and requests what leads to it by its address (docs/caches.md), so that HTTP caches can answer both. If two
 * addresses in a row are gone, because the pool changes faster than this follows, or if the service has no addresses, the service
 * decides what to send. No cache answers that.
 */
export async function findExport(
  connection: Connection,
  { state: base, poolCreated }: ClientState,
  { query, signal, mayBeCached }: FindOptions,
): Promise<OpenExport | UnchangedExport> {
  const { include, ...filter } = query
  const found = await lookUp(connection, { query: filter, signal, ...(mayBeCached ? CACHED : EXACT) })
  if (found) {
    // Another pool of the same name may have other logins in the same state.
    const isOtherPool = include !== undefined && found.poolCreated !== poolCreated
    let address: Address | undefined = { base: isOtherPool ? undefined : base, state: found.state }
    for (let attempt = 0; address && attempt < MAX_ADDRESSES; attempt++) {
      if (address.state === address.base) return { head: undefined, poolCreated }
      try {
        return await openAddress(connection, address, { query, signal, ...CACHED })
      } catch (error) {
        if (!(error instanceof UsersyncError) || error.status !== 404) throw error
        address = latestOf(error)
        if (address?.base !== undefined && address.base !== base) break
      }
    }
  }
  return await openExport(connection, { query, signal, base })
}

/** Returns the current state. Undefined if the service has no addresses. */
async function lookUp(connection: Connection, call: Call): Promise<{ state: string; poolCreated: string } | undefined> {
  const answer = await connection.open('getCurrentState', call)
  const poolCreated = answer.headers.get('usersync-pool-created')
  if (poolCreated === null) {
    answer.end()
    return undefined
  }
  let text = ''
  for await (const piece of answer.texts()) text += piece
  try {
    const { state } = JSON.parse(text) as { state?: unknown }
    if (typeof state === 'string') return { state, poolCreated }
  } catch {
    // reported below
  }
  throw notUsersync(answer.status)
}

/** Returns the address that the service names instead of one that is gone. Only its states are used. */
function latestOf({ code, link = '' }: UsersyncError): Address | undefined {
  const [, base, state] = (code === 'state_gone' && LATEST.exec(link)) || []
  return state === undefined ? undefined : { base, state }
}

const LATEST = /\/v1\/exports\/(?:(u1-[0-9a-f]{64})\/)?(u1-[0-9a-f]{64})[?>]/

/** Caches ask the service whether their response is the current one (RFC 9111 section 5.2.1.4). */
const EXACT = { headers: { 'cache-control': 'no-cache' } }
const CACHED = { cache: 'default' } as const
