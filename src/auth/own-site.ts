import type { FastifyInstance } from 'fastify'
import plugin from 'fastify-plugin'
import { isLoopback } from '../config/config.ts'
import { Problem } from '../errors.ts'

interface OwnSiteOptions {
  /** Whether requests need a key. A web page of another site has none, and no browser sends one for it. */
  withKeys: boolean
  /** The address that the service listens on. */
  host: string
}

/**
 * Protects a service without keys from the web pages that its operator visits, which share the machine with it. A page whose
 * name was rebound to 127.0.0.1 still sends that name as Host; one of another origin says so in Sec-Fetch-Site or Origin.
 */
export const ownSite = plugin<OwnSiteOptions>(
  (app: FastifyInstance, { withKeys, host }, done) => {
    if (withKeys) return done()
    const isOwn = (authority: string) => {
      const name = hostnameOf(authority)
      return name !== undefined && (isLoopback(name) || name === host.toLowerCase())
    }
    app.addHook('onRequest', ({ raw: { headers, method = '', url = '' } }, _reply, next) => {
      const [, inTarget] = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i.exec(url) ?? []
      // HTTP/1.0 may come without a Host; no browser speaks it.
      const authorities = [headers.host, inTarget].filter((authority) => authority !== undefined)
      if (!authorities.every(isOwn)) return next(misdirected())
      if (method !== 'GET' && method !== 'HEAD' && isCrossSite(headers)) return next(crossSite())
      next()
    })
    done()
  },
  { name: 'own-site', dependencies: ['error-answers'] },
)

const misdirected = () =>
  new Problem(
    'misdirected_request',
    'Without keys only requests to localhost or the address in HOST are answered. Set API_KEYS to use another name.',
  )

const crossSite = () => new Problem('cross_site_request', 'Send it from the service’s own page, or not from a browser.')

/** The host of `host:port`, in lower case and without the brackets of IPv6. Undefined if it is no host. */
function hostnameOf(authority: string): string | undefined {
  const [, name] = /^(\[[0-9a-f:.]+\]|[^:@[\]]+)(:\d*)?$/i.exec(authority) ?? []
  return name?.toLowerCase().replace(/^\[|\]$/g, '')
}

function isCrossSite({ host = '', origin, 'sec-fetch-site': site }: Record<string, unknown>): boolean {
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return true
  return origin !== undefined && !(typeof origin === 'string' && hostOf(origin) === hostOf(`http://${host}`))
}

/** Host and port of a URL, without the default port. Undefined for `null` and whatever is no http URL. */
function hostOf(url: string): string | undefined {
  const parsed = URL.parse(url)
  return parsed && /^https?:$/.test(parsed.protocol) ? parsed.host : undefined
}
