import { urlOf } from './api.js'
import { readKey } from './session.js'

/**
 * The curl command of a request. The key stays out of it: the command reads it from the variable USERSYNC_KEY.
 *
 * @param {string} method
 * @param {string} path
 * @param {object} [body]
 */
export function curlOf(method, path, body) {
  const parts = [`curl -X ${method} ${quoted(urlOf(path).href)}`]
  if (readKey()) parts.push('-H "authorization: Bearer $USERSYNC_KEY"')
  if (body) parts.push(`-H 'content-type: application/json'`, `-d ${quoted(JSON.stringify(body))}`)
  return parts.join(' \\\n  ')
}

/** A word of a POSIX shell. */
const quoted = (/** @type {string} */ text) => `'${text.replaceAll("'", `'\\''`)}'`
