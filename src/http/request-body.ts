import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'

/** Whether a request with these headers has a body. A Content-Length of 0 counts as none (RFC 9112 section 6.3). */
export const hasBody = (headers: IncomingHttpHeaders): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0

/** Whether a part of the request body is still to arrive. */
export function bodyIsComing({ headers, complete, destroyed }: IncomingMessage): boolean {
  return !complete && !destroyed && hasBody(headers)
}
