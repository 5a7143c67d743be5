import { holdsNul } from '../http/holds-nul.ts'
import { invalidSettings, PLACE } from './read-members.ts'

/** The most bytes of settings, as JSON, so that all templates of a pool can be listed in one answer. */
const MOST_BYTES = 65_536

/** Throws `invalid_request` where the database would not take the value, or it is larger than settings may be. */
export function checkStorable(value: unknown): void {
  if (holdsNul(value)) {
    throw invalidSettings([{ path: PLACE, code: 'unstorable', message: 'holds U+0000, which cannot be stored' }])
  }
  if (Buffer.byteLength(JSON.stringify(value)) > MOST_BYTES) {
    throw invalidSettings([{ path: PLACE, code: 'too_large', message: `takes more than ${MOST_BYTES} bytes` }])
  }
}
