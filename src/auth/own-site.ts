import type { FastifyInstance, onRequestHookHandler } from 'fastify'
import plugin from 'fastify-plugin'
import { isLoopback } from '../config/loopback.ts'
import { withoutBrackets } from '../config/url.ts'
import { Problem } from '../errors.ts'
import { memoize } from '../process/memoize.ts'

interface OwnSiteOptions {
  /** Whether requests need a key. Web pages of other sites have none, and browsers never add one. */
  withKeys: boolean
  /** The address that the service listens on. */
  host: string
}

/**
 * Protects a service without keys from web pages that its operator visits, since the browser runs on the same machine. After DNS
 * rebinding to 127.0.0.1, a page still sends its own name as Host. A page of another origin shows in Sec-Fetch-Site or Origin.
 */
export const ownSite = plugin<OwnSiteOptions>(
  (app: FastifyInstance, { withKeys, host }, done) => {
    if (withKeys) return done()
    const isOwn = memoize((authority) => {
      const name = hostnameOf(authority)
      return name !== undefined && (isLoopback(name) || name === host.toLowerCase())
    })
    app.addHook('onRequest', ({ raw: { headers, method = '', url = '' } }, _reply, next) => {
      const inTarget = authorityIn(url)
      // HTTP/1.0 allows a missing Host; no browser uses it.
      if (headers.host !== undefined && !isOwn(headers.host)) return next(misdirected())
      if (inTarget !== undefined && !isOwn(inTarget)) return next(misdirected())
      if (method !== 'GET' && method !== 'HEAD' && isCrossSite(headers)) return next(crossSite())
      next()
    })
    done()
  },
  { name: 'own-site', dependencies: ['error-responses'] },
)

const misdirected = () =>
  new Problem(
    'misdirected_request',
    'Without API keys, the service only answers requests to localhost or the address in HOST. Set API_KEYS to use another name.',
  )

const crossSite = () =>
  new Problem('cross_site_request', 'Send the request from the service’s own page, or not from a browser.')

/** Returns the authority of a request target in absolute form (RFC 9112 section 3.2.2). Undefined for a path. */
function authorityIn(target: string): string | undefined {
  if (target.startsWith('/')) return undefined
  const [, authority] = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i.exec(target) ?? []
  return authority
}

/** Returns the host of `host:port`, in lower case and without IPv6 brackets. Undefined if it is not a host. */
function hostnameOf(authority: string): string | undefined {
  const [, name] = /^(\[[0-9a-f:.]+\]|[^:@[\]]+)(:\d*)?$/i.exec(authority) ?? []
  return name && withoutBrackets(name.toLowerCase())
}

/** Rejects a request from a page of another site, whatever its method: for routes where GET changes something. */
export const refuseCrossSite: onRequestHookHandler = ({ raw: { headers } }, _reply, next) =>
  next(isCrossSite(headers) ? crossSite() : undefined)

function isCrossSite({ host = '', origin, 'sec-fetch-site': site }: Record<string, unknown>): boolean {
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return true
  return origin !== undefined && !(typeof origin === 'string' && hostOf(origin) === hostOf(`http://${host}`))
}

/** Returns host and port of a URL, without the default port. Undefined for `null` and for anything but an http URL. */
function hostOf(url: string): string | undefined {
  const parsed = URL.parse(url)
  return parsed && /^https?:$/.test(parsed.protocol) ? parsed.host : undefined
}
