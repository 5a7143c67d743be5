import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'

/** Whether a request of these headers has a body, of a byte at least where it says its length (RFC 9112 section 6.3). */
export const hasBody = (headers: IncomingHttpHeaders): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0

/** Whether a part of the request's body has not arrived yet, and may still do. */
export function bodyIsComing({ headers, complete, destroyed }: IncomingMessage): boolean {
  return !complete && !destroyed && hasBody(headers)
}
