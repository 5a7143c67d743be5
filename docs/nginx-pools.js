// Finds the pool of a request for nginx-pools.conf, as the service does. Runs in nginx (njs), not in Node.

// biome-ignore lint/style/useNodejsImportProtocol: a module of njs
import querystring from 'querystring'

const first = (value) => (Array.isArray(value) ? value[0] : value) || ''

/** The pool that FILENAME of the Simple Table Server names. */
const poolOfFile = (name) => name.toLowerCase().replace(/\.(csv|txt|tsv|dat)$/, '')

/** Returns the pool in the path or the query; empty if there is none. */
function poolInAddress(r) {
  const path = r.uri.match(/^\/v1\/pools\/([^/]+)$/)
  return path ? path[1] : first(r.args.pool) || poolOfFile(first(r.args.FILENAME))
}

/** Reads the pool in a JSON body or a form, and passes the request on to its deployment, whose answer says what is wrong with a body. */
function readPoolInBody(r) {
  let pool = ''
  try {
    const text = r.requestText
    if (r.uri.startsWith('/sts/')) {
      const form = querystring.parse(text)
      pool = first(form.pool) || poolOfFile(first(form.FILENAME))
    } else {
      const body = JSON.parse(text)
      pool = r.uri === '/v1/pools' ? body.name : body.pool
    }
  } catch (_) {
    // no body, not JSON, compressed, or too large
  }
  r.variables.pool_in_body = typeof pool === 'string' ? pool : ''
  r.internalRedirect('@deployment')
}

export default { poolInAddress, readPoolInBody }
