import { Problem } from '../errors.ts'
import { isLoopback } from '../http/loopback.ts'

/**
 * The address of a receiver as it is kept: http or https, a path perhaps, and nothing else. Throws `invalid_request`. A key
 * has a member of its own, since an address is shown and logged.
 */
export function receiverUrl(text: string): string {
  const url = URL.parse(text)
  const isPlain = url !== null && !url.username && !url.password && !url.search && !url.hash
  if (isPlain && /^https?:$/.test(url.protocol)) return url.href.replace(/\/+$/, '')
  const message = 'expects http://host:port or https://host, without user, query or fragment'
  throw new Problem('invalid_request', `body.url ${message}`, {
    errors: [{ path: 'body.url', code: 'format', message }],
  })
}

/** Whether a key for this URL crosses a network unencrypted. */
export function isCleartext(url: string): boolean {
  const { protocol, hostname } = new URL(url)
  return protocol === 'http:' && !isLoopback(hostname.replace(/^\[|\]$/g, ''))
}
