import { PeerError } from '../sync/peer.ts'
import { ExportError } from '../sync/read-export.ts'
import { NoRoom } from './room.ts'
import { UsageError } from './usage-error.ts'

/** The exit code that tells why a pull failed; USAGE lists them. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return 2
  if (error instanceof ExportError) return 6
  if (error instanceof NoRoom) return 7
  if (error instanceof DOMException && error.name === 'TimeoutError') return 3
  if (!(error instanceof PeerError)) return 1
  if (error.fault === 'unauthorized') return 4
  return error.isPassing ? 3 : 5
}
