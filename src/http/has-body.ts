import type { IncomingHttpHeaders } from 'node:http'

/** Whether a request of these headers has a body, of a byte at least where it says its length (RFC 9112 section 6.3). */
export const hasBody = (headers: IncomingHttpHeaders): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
