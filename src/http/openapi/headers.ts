/** The response headers that a client may use. Their text is in the description once. */
export const HEADERS = {
  'Cache-Control': 'Who may store the response, and for how long',
  ETag: 'The state, as a weak entity tag: `W/"u1-…"`. Send it as `If-None-Match` next time',
  Link: 'The next page or part: `<…>; rel="next"` (RFC 8288). Missing on the last one. Of a state that is gone: `<…>; rel="latest-version"` (RFC 5829)',
  Location: 'The URL of what the request created, or of what does its work',
  'Preference-Applied': 'The preference that was followed (RFC 7240)',
  'RateLimit-Limit': 'Requests that the key may send a minute. Only if `RATE_LIMIT` is set',
  'RateLimit-Remaining': 'Requests that are left in this minute. Only if `RATE_LIMIT` is set',
  'RateLimit-Reset': 'Seconds until the minute ends. Only if `RATE_LIMIT` is set',
  'Retry-After': 'Seconds after which the same request may succeed',
  'Usersync-Base': 'The state that the delta starts from, or `none`',
  'Usersync-Kind': '`unchanged`, `delta` or `full`',
  'Usersync-Pool-Created':
    'When the pool was created: a pool that was created again may have other passwords in the same state',
  'Usersync-State': 'The state of the exported users',
  'WWW-Authenticate': 'How to authenticate (RFC 6750)',
} as const

export type HeaderName = keyof typeof HEADERS

const NUMERIC = /^RateLimit-|^Retry-After$/

/** The components of the headers. */
export const headerComponents = () =>
  Object.fromEntries(
    Object.entries(HEADERS).map(([name, description]) => [
      name,
      { description, schema: { type: NUMERIC.test(name) ? 'integer' : 'string' } },
    ]),
  )

/** The member `headers` of a response with these headers; none if it has none. */
export const headers = (names: readonly HeaderName[]) =>
  names.length === 0
    ? {}
    : { headers: Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }])) }
