import { callPeer, type Peer, PeerError, type PeerResponse, readJson } from '../client/peer.ts'
import { hasZstd } from '../http/decompress.ts'
import { ExportError } from '../protocol/read-export.ts'
import { isState, type State } from '../protocol/state.ts'
import type { LocalBase } from './base.ts'
import { addressPath, exportPath, lookUpPath, type PullSource } from './base-label.ts'

const SILENCE_MS = 60_000

const CODINGS = { 'accept-encoding': hasZstd ? 'zstd, gzip' : 'gzip' }

/** Caches ask the service whether their response is the current one (RFC 9111 section 5.2.1.4). */
const EXACT = { 'cache-control': 'no-cache' }

/** What to request, and from where. */
export interface PullRequest {
  source: PullSource
  key: string | undefined
  /** Whether rounds repeat. Then a cache may answer with the state of a second or two ago. A single round is exact. */
  isFollower?: boolean
}

/** What an address names: the delta from the base to the state, or the full export of the state. */
export interface Address {
  base: State | undefined
  state: State
}

/** A response with an export, or files that have the current state. `address` is undefined if the service decided what to send. */
export type Requested = { response: PeerResponse; address: Address | undefined } | { unchanged: LocalBase }

/** How many addresses a round tries: the one that the look-up leads to, and the one that the service then names. */
const MAX_ADDRESSES = 2

/**
 * Requests what the files lack.
 *
 * Looks up the current state, and requests what leads to it by its address (docs/caches.md), so that HTTP caches can answer both. If two
 * addresses in a row are gone, because the pool changes faster than this follows, or if the service has no addresses, it lets the service
 * decide, as with `forceFull`; no cache answers that. Throws PeerError, ExportError, and the reason of `signal`.
 */
export async function requestExport(
  request: PullRequest,
  local: LocalBase | undefined,
  forceFull: boolean,
  signal: AbortSignal,
): Promise<Requested> {
  const { source, key, isFollower } = request
  const peer: Peer = { url: source.url, key }
  async function get(path: string, headers: Record<string, string>): Promise<PeerResponse> {
    const response = await callPeer(peer, { method: 'GET', path, headers, silenceMs: SILENCE_MS, signal })
    if (!textOf(response.headers['content-type'])?.startsWith('text/html')) return response
    response.body.destroy()
    throw notUnderstood() // the page of a login, or of another site
  }

  async function lookUp(): Promise<State | undefined> {
    const response = await get(lookUpPath(source), isFollower ? {} : EXACT)
    const poolCreatedAt = textOf(response.headers['usersync-pool-created'])
    if (response.status === 304 || poolCreatedAt === undefined) {
      response.body.destroy()
      if (response.status === 304) throw unasked()
      return undefined // a service without addresses
    }
    const { state } = await readJson(response.body)
    if (typeof state !== 'string' || !isState(state)) throw notUnderstood()
    if (local && source.credentials.length > 0 && local.poolCreatedAt !== poolCreatedAt) throw otherPool()
    return state
  }

  async function byAddress(state: State): Promise<Requested | undefined> {
    let address: Address = { base: local?.state, state }
    for (let attempt = 0; attempt < MAX_ADDRESSES; attempt++) {
      if (local?.isOutInStep && local.state === address.state) return { unchanged: local }
      try {
        const response = await get(addressPath(source, address), CODINGS)
        if (response.status === 304) throw unasked()
        return { response, address }
      } catch (error) {
        if (!(error instanceof PeerError) || error.fault !== 'refused') throw error
        const latest = latestOf(error)
        if (!latest || (latest.base ?? local?.state) !== local?.state) break
        address = latest
      }
    }
    return undefined
  }

  async function byBase(): Promise<Requested> {
    // An out of another state must be rewritten from the base, but a 304 would give no occasion: send a base, no If-None-Match.
    const matching = !forceFull && local?.isOutInStep ? local.state : undefined
    const base = !forceFull && local?.isOutInStep === false ? local.state : undefined
    const headers = { ...CODINGS, ...(matching !== undefined && { 'if-none-match': `W/"${matching}"` }) }
    const response = await get(exportPath(source, { base, forceFull }), headers)
    if (response.status !== 304) return { response, address: undefined }
    if (!local || !matching) throw unasked()
    if (local.poolCreatedAt !== textOf(response.headers['usersync-pool-created'])) throw otherPool()
    return { unchanged: local }
  }

  const state = forceFull ? undefined : await lookUp()
  return (state !== undefined && (await byAddress(state))) || (await byBase())
}

const LATEST = /\/v1\/exports\/(?:(u1-[0-9a-f]{64})\/)?(u1-[0-9a-f]{64})[?>]/

/** Returns the address that the service names instead of one that is gone. Only its states are used. */
function latestOf({ problem }: PeerError): Address | undefined {
  const [, base, state] = (problem.code === 'state_gone' && LATEST.exec(problem.link ?? '')) || []
  return state === undefined ? undefined : { base, state }
}

/** The state of a population is the same in both pools, but its logins may differ. */
export const otherPool = () =>
  new ExportError('other_base', 'the pool was created again, so its logins may be other ones')

const unasked = () => new PeerError('not_understood', 'The service answers 304 to a request without a state.')

const notUnderstood = () => new PeerError('not_understood', 'The URL does not lead to a usersync.')

/** Returns a header that occurs once. */
export const textOf = (header: string | string[] | undefined) => (typeof header === 'string' ? header : undefined)
