import { faultOf, PeerError } from '../../../client/peer.ts'
import type { CallApi } from '../json-api.ts'
import { catchRetryable, type Operate, type Operation, type Result } from './operations.ts'
import type { ServiceProvider } from './service-provider.ts'

/* Many operations in one request (RFC 7644, section 3.7). */

const HEAD = '{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],"Operations":['
const TAIL = ']}'

/**
 * Sends operations in bulk requests within the bounds of the server, one after the other. `failOnErrors` is absent, so one failure does
 * not stop the others. If the server answers 413 nevertheless, later requests are half as large. `singly` sends what is too large for
 * a bulk request, and everything if the server takes none.
 */
export function operateInBulk(call: CallApi, bulk: NonNullable<ServiceProvider['bulk']>, singly: Operate): Operate {
  let { maxPayloadSize } = bulk
  let isSupported = true

  return async function operate(operations) {
    if (!isSupported) return await singly(operations)
    const results: Result[] = []
    while (results.length < operations.length) {
      const open = operations.slice(results.length)
      const { count, body } = fill(open, bulk.maxOperations, maxPayloadSize)
      const some = open.slice(0, Math.max(count, 1))
      if (count === 0) {
        results.push(...(await singly(some)))
        continue
      }
      const answer = await catchRetryable(() => call({ method: 'POST', path: '/Bulk', body }))
      if ('fault' in answer) {
        const { fault } = answer
        return [...results, ...some.map(() => answer), ...open.slice(count).map(() => ({ fault, isSent: false }))]
      }
      if (answer.status === 413) {
        const bytes = Buffer.byteLength(body)
        maxPayloadSize = count === 1 ? bytes - 1 : bytes >> 1
      } else if (answer.status >= 400) {
        isSupported = false
        return [...results, ...(await singly(open))]
      } else results.push(...resultsOf(some, answer.json))
    }
    return results
  }
}

/** Returns the body of a request with as many operations as the bounds allow. */
function fill(operations: Operation[], maxOperations: number, maxPayloadSize: number): { count: number; body: string } {
  const texts: string[] = []
  let bytes = Buffer.byteLength(HEAD + TAIL)
  for (const operation of operations.slice(0, maxOperations)) {
    const text = JSON.stringify(asBulk(operation))
    bytes += Buffer.byteLength(text) + 1
    if (bytes > maxPayloadSize) break
    texts.push(text)
  }
  return { count: texts.length, body: HEAD + texts.join(',') + TAIL }
}

const asBulk = ({ userId, method, path, data }: Operation) => ({
  method,
  path,
  ...(method === 'POST' && { bulkId: userId }),
  ...(data && { data }),
})

interface Answered {
  method?: unknown
  bulkId?: unknown
  location?: unknown
  status?: unknown
  response?: unknown
}

/** The result of each operation. The order of an answer means nothing: a creation has its bulkId, others have their location. */
function resultsOf(operations: Operation[], json: unknown): Result[] {
  const { Operations: list } = (json ?? {}) as { Operations?: unknown }
  const answered = (Array.isArray(list) ? list : []).filter(
    (one) => typeof one === 'object' && one !== null,
  ) as Answered[]
  const creations = new Map(answered.flatMap((one) => (one.method === 'POST' ? [[one.bulkId, one]] : [])))
  const others = new Map(answered.flatMap((one) => (one.method === 'POST' ? [] : [[idIn(one.location), one]])))
  return operations.map(({ userId, method, path }) => {
    const one = method === 'POST' ? creations.get(userId) : others.get(idIn(path))
    const status = Number(one?.status)
    if (!one || !(status >= 200)) return lost('The answer to a bulk request lacks operations.')
    const fault = faultOf(status)
    if (status >= 500 || fault === 'busy' || fault === 'timeout')
      return { fault: new PeerError(fault, `The target answers an operation with status ${status}.`), isSent: true }
    const id = idIn(one.location)
    return { status, json: status < 300 && method === 'POST' ? { id } : one.response }
  })
}

const lost = (message: string): Result => ({ fault: new PeerError('server_error', message), isSent: true })

/** The id at the end of a location, absolute or relative. */
function idIn(location: unknown): string | undefined {
  const [, id] = (typeof location === 'string' && /\/Users\/([^/?#]+)$/.exec(location)) || []
  try {
    return id === undefined ? undefined : decodeURIComponent(id)
  } catch {
    return id
  }
}
