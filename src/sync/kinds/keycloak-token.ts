import { PeerError } from '../../client/peer.ts'
import { membersOf } from './api-requests.ts'
import { type ApiAnswer, type ApiCall, type CallApi, jsonApi } from './json-api.ts'

interface Client {
  url: string
  realm: string
  clientId: string
  secret: string
  signal: AbortSignal
}

/** A token is renewed this long before it expires. */
const EARLY_MS = 10_000

/**
 * Returns a function that makes calls with an access token of a client (RFC 6749, section 4.4). Tokens of Keycloak live for a minute by
 * default. Throws PeerError `unauthorized` if the client gets none.
 */
export function createTokens({ url, realm, clientId, secret, signal }: Client) {
  const mediaType = 'application/x-www-form-urlencoded'
  const call = jsonApi({ url, headers: { accept: 'application/json' }, mediaType, signal })
  let token: Promise<string> | undefined
  let expiresAt = 0

  async function request(): Promise<string> {
    const grant = { grant_type: 'client_credentials', client_id: clientId, client_secret: secret }
    const path = `/realms/${encodeURIComponent(realm)}/protocol/openid-connect/token`
    const { status, json } = await call({ method: 'POST', path, body: new URLSearchParams(grant).toString() })
    const { access_token: accessToken, expires_in: seconds } = membersOf(json)
    if (status === 404) throw new PeerError('refused', 'url or mapping.realm: Keycloak has no such realm.')
    if (status !== 200 || typeof accessToken !== 'string') throw new PeerError('unauthorized', NO_TOKEN)
    expiresAt = Date.now() + Number(seconds ?? 60) * 1000 - EARLY_MS
    return accessToken
  }

  return async function withToken(api: CallApi, call: ApiCall): Promise<ApiAnswer> {
    if (Date.now() >= expiresAt) token = undefined
    token ??= request().catch((error) => {
      token = undefined
      throw error
    })
    try {
      return await api({ ...call, headers: { ...call.headers, authorization: `Bearer ${await token}` } })
    } catch (error) {
      if (error instanceof PeerError && error.fault === 'unauthorized') token = undefined // it may have been revoked
      throw error
    }
  }
}

const NO_TOKEN =
  'Keycloak gives the client no token: check mapping.client_id, the key (its secret), and that its service account is on.'
