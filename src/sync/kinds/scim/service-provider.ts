import { PeerError } from '../../../client/peer.ts'
import type { CallApi } from '../json-api.ts'

/** What a server supports (RFC 7643, section 5). */
export interface ServiceProvider {
  /** Bounds of a bulk request, in operations and bytes. Undefined: it takes none. */
  bulk: { maxOperations: number; maxPayloadSize: number } | undefined
}

const CONFIG_SCHEMA = 'urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig'

/** Reads what the server supports. Throws PeerError, also if it is no SCIM server, or if users could not be found again there. */
export async function readServiceProvider(call: CallApi): Promise<ServiceProvider> {
  const { status, json } = await call({ method: 'GET', path: '/ServiceProviderConfig' })
  const { schemas, bulk, filter } = (json ?? {}) as Record<'schemas' | 'bulk' | 'filter', Record<string, unknown>>
  if (status !== 200 || !Array.isArray(schemas) || !schemas.includes(CONFIG_SCHEMA)) {
    const found = status === 200 ? 'something else' : `status ${status}`
    const message = `url: there is no SCIM 2.0 API, /ServiceProviderConfig answers with ${found}. It often ends in /scim/v2.`
    throw new PeerError(status === 200 ? 'not_understood' : 'refused', message)
  }
  if (filter?.['supported'] !== true) {
    const message =
      'The server has no filters (ServiceProviderConfig), so users could not be found again after a crash.'
    throw new PeerError('refused', message)
  }
  const { supported, maxOperations, maxPayloadSize } = bulk ?? {}
  if (supported !== true || !isBound(maxOperations) || !isBound(maxPayloadSize)) return { bulk: undefined }
  return { bulk: { maxOperations, maxPayloadSize } }
}

const isBound = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) > 0
