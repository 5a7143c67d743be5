import { PeerError } from '../../../client/peer.ts'
import type { Reply } from '../by-request.ts'
import { type Refusal, UNSURE } from '../kind.ts'
import type { Operation, Result } from './operations.ts'

/* What the results of operations mean for users. */

/** What became of a user that was to be created. */
export function creationReply(operation: Operation, result: Result): Reply {
  const { userId } = operation
  if ('fault' in result) return { userId, external: result.isSent ? UNSURE : null, fault: result.fault }
  if (result.status >= 300) return { userId, external: null, refusal: refusalOf(operation, result) }
  const { id } = (result.json ?? {}) as { id?: unknown }
  if (typeof id === 'string' && id !== '') return { userId, external: id }
  // It is looked up in the next round.
  return {
    userId,
    external: UNSURE,
    fault: new PeerError('server_error', 'The server does not say the id of a new user.'),
  }
}

/** What became of a user that was to be changed. One that is gone has no `external`. */
export function changeReply(operation: Operation, external: string, result: Result): Reply {
  const { userId } = operation
  if ('fault' in result) return { userId, external, fault: result.fault }
  if (result.status === 404) return { userId, external: null }
  if (result.status >= 300) return { userId, external, refusal: refusalOf(operation, result) }
  return { userId, external }
}

/** What became of a user that was to be removed. */
export function removalReply(operation: Operation, external: string, result: Result): Reply {
  const { userId } = operation
  if ('fault' in result) return { userId, external, fault: result.fault }
  if (result.status < 300 || result.status === 404) return { userId, external: null }
  return { userId, external, refusal: refusalOf(operation, result) }
}

/** What the error types of RFC 7644 (table 9) mean for a user. */
const MEANINGS: Record<string, string> = {
  uniqueness: 'Another user has the same unique value there',
  mutability: 'An attribute cannot be changed there',
  invalidValue: 'A value is missing, or is not one that the server takes',
  invalidSyntax: 'The user does not fit the schema of the server',
  invalidPath: 'An attribute is not one of the server',
  sensitive: 'A value may not be sent in this way',
}

/** Names of attributes that are ordinary words: in a text they may mean anything. */
const WORDS = ['name', 'value', 'type', 'primary', 'display', 'formatted', 'id', 'schemas']

/** Why the server refuses a user, in our own words. Its text may contain anything; only the names of our attributes are taken from it. */
function refusalOf({ data }: Operation, { status, json }: { status: number; json: unknown }): Refusal {
  const { scimType, detail } = (json ?? {}) as Record<string, unknown>
  const isTaken = status === 409 && (scimType === undefined || scimType === 'uniqueness')
  const type = isTaken ? 'uniqueness' : String(scimType)
  const meaning = Object.hasOwn(MEANINGS, type) ? MEANINGS[type] : 'The server refuses it'
  const attributes = typeof detail === 'string' && data ? attributesIn(detail, data) : []
  const where = attributes.length > 0 ? `: ${attributes.join(', ')}` : ''
  return { code: isTaken ? 'exists_already' : 'refused', detail: `${meaning} (status ${status})${where}.` }
}

/** The attributes of a user that a text names. */
function attributesIn(text: string, data: object): string[] {
  const words = new Set(text.slice(0, 1_000).match(/[\w-]+/g))
  return [...new Set(namesIn(data))].filter((name) => !WORDS.includes(name) && words.has(name)).slice(0, 3)
}

function namesIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return []
  if (Array.isArray(value)) return value.flatMap(namesIn)
  return Object.entries(value).flatMap(([name, member]) => [name, ...namesIn(member)])
}
