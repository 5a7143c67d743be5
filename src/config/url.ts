/**
 * Returns the URL if it is http or https, with an optional path and nothing else; otherwise undefined. Keys do not belong into URLs, since
 * these are shown and logged.
 */
export function plainHttpUrl(text: string): URL | undefined {
  const url = URL.parse(text)
  const isPlain = url !== null && !url.username && !url.password && !url.search && !url.hash
  return isPlain && /^https?:$/.test(url.protocol) ? url : undefined
}

/** Returns the address of a usersync without slashes at its end, and without a `/v1`, since people copy the address of a route. */
export const serviceAddress = ({ href }: URL) => href.replace(/(\/+v1)?\/*$/, '')

/** Returns the host without the brackets around an IPv6 address in a URL (RFC 3986 section 3.2.2). */
export const withoutBrackets = (host: string) => host.replace(/^\[|\]$/g, '')
