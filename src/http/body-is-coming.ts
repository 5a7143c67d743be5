import type { IncomingMessage } from 'node:http'

/** Whether a part of the request's body has not arrived yet, and may still do. */
export function bodyIsComing({ headers, complete, destroyed }: IncomingMessage): boolean {
  if (complete || destroyed) return false
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}
