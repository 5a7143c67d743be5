import { registerHooks } from 'node:module'
import type postgresType from 'postgres'

/*
 * postgres.js 3.4.9 with its handling of a connection that is lost in a transaction mended. As published, a query sent on
 * such a connection throws where nobody can catch it and ends the process (porsager/postgres#1066, #1154, #1208), later
 * ones may run inside somebody else's transaction (#1216), and the pool never gets the connection back. Fixes are proposed
 * (#1209, #1215) and not released. The mends below are our own: a lost connection's reserved or transaction handle rejects
 * what is asked of it, what was half written is forgotten, no wait for a connection is without end, and a query does not take
 * longer the more there were before it. They are applied to the source as it is loaded, in main and worker threads alike. When a
 * release has fixed it, `import postgres from 'postgres'` replaces this file.
 */

type Mend = [published: string, mended: string]

/**
 * How long a query waits for a connection, one that has to be opened included, unless the option `wait` says otherwise; and how
 * many may wait. As published they wait for ever; a few wait for good, having been given to a connection that could not be
 * opened; and where all connections are busy, queries are sent to one of them at once, to wait there for the end of whatever
 * it does.
 */
const LONGEST_WAIT_MS = 5_000
const MOST_WAITING = 1_000

/**
 * Queries wait in one line, and every connection, when it is open or free, takes the first. A connection is opened for the
 * line, not for a query; one that cannot be opened tells so to the first in the line, if there is no other to wait for.
 */
const WAIT = `
  function wait(query) {
    if (queries.length >= ${MOST_WAITING})
      return query.reject(Errors.connection('CONNECTION_LINE_FULL', options))
    query.patience = setTimeout(() =>
      queries.remove(query) && query.reject(Errors.connection('CONNECTION_WAIT_TIMEOUT', options)), options.wait)
    queries.push(query)
    closed.length && connect(closed.shift(), opener)
  }

  function next() {
    const query = queries.shift()
    clearTimeout(query.patience)
    return query
  }

  function handler(query) {`

const OPENER = `
  const opener = {
    reserve: true,
    reject: e => open.length + busy.length + full.length + reserved.length === 0 && queries.length && next().reject(e)
  }
`

/** Marks an error of the connection itself, whatever its code is: sockets, TLS, name look-ups, waits. */
const marked = (error: string) => `Object.defineProperty(${error}, 'isDatabaseConnection', { value: true })`

const MENDS: Record<string, Mend[]> = {
  'errors.js': [
    [
      '  Error.captureStackTrace(error, connection)\n  return error\n',
      `  Error.captureStackTrace(error, connection)\n  return ${marked('error')}\n`,
    ],
  ],
  'connection.js': [
    ['  function error(err) {\n', `  function error(err) {\n    ${marked('err')}\n`],
    // A connect that fails at once (ENETUNREACH, EMFILE) emits its error in the next tick, before what follows an `await`: with
    // no listener yet it ended the process.
    [
      '  async function createSocket() {\n    let x\n    try {\n      x = options.socket\n        ? (await Promise.resolve(options.socket(options)))\n',
      '  function createSocket() {\n    let x\n    try {\n      x = options.socket\n        ? options.socket(options)\n',
    ],
    ['    socket || (socket = await createSocket())\n', '    socket || (socket = createSocket())\n'],
    [
      // one that was closed while it opened was opened again and again, and told nobody
      '    socket = null\n\n    if (initial)\n      return reconnect()\n\n    !hadError && (query || sent.length) && error(',
      '    socket = chunk = nextWriteTimer = errorResponse = null\n    hasVerifiedServer = false\n\n    ;(initial || query || sent.length) && error(',
    ],
    ['    closedTime = performance.now()\n', '    query = null\n    closedTime = performance.now()\n'],
    [
      '    const x = socket.write(chunk, fn)\n',
      '    if (!socket) return (chunk = nextWriteTimer = null, false)\n    const x = socket.write(chunk, fn)\n',
    ],
    [
      // What is written when the turn of the event loop ends waits for all that the turn still does: the look-up for the next
      // unchanged exports went out after the answers to those before. Here a write is a whole query, so there is nothing to gather.
      '    nextWriteTimer === null && (nextWriteTimer = setImmediate(nextWrite))\n    return true\n',
      '    nextWrite()\n    return true\n',
    ],
    [
      // one that is lost while it asks for the types ended the process by a rejection that nobody handles
      `      if (needsTypes) {
        initial.reserve && (initial = null)
        return fetchArrayTypes()
      }

      initial && !initial.reserve && execute(initial)
      options.shared.retries = retries = 0
      initial = null
      return
`,
      `      options.shared.retries = retries = 0
      initial = null
      return needsTypes ? fetchArrayTypes().catch(noop) : ending ? terminate() : onopen(connection)
`,
    ],
    [
      '      const s = StartupMessage()\n',
      '      options.watch && options.watch(socket, () => query !== null, () => options.socket(options, socket.server))\n      const s = StartupMessage()\n',
    ],
    // A request for the password is answered only if `options.refuse` has nothing against it.
    ['    , cancelMessage\n', '    , cancelMessage\n    , hasVerifiedServer = false\n'],
    [
      '  async function Authentication(x, type = x.readUInt32BE(5)) {\n',
      `  async function Authentication(x, type = x.readUInt32BE(5)) {
    const refusal = options.refuse && options.refuse(x, socket, hasVerifiedServer)
    if (refusal) {
      errored(refusal)
      return socket.destroy()
    }
`,
    ],
    [
      '.slice(2) === serverSignature)\n      return\n',
      '.slice(2) === serverSignature)\n      return (hasVerifiedServer = true)\n',
    ],
    [
      // A server without TLS ended in an error of the handshake that did not say so.
      "      if (!canSSL && ssl === 'prefer')\n        return connected()\n",
      `      if (!canSSL && ssl === 'prefer')
        return connected()
      if (!canSSL) {
        errored(Errors.generic('CONNECTION_WITHOUT_TLS', 'the database server does not offer TLS, which sslmode requires'))
        return socket.destroy()
      }
`,
    ],
    [
      // A certificate for an IP address was compared with `localhost`.
      '      servername: net.isIP(socket.host) ? undefined : socket.host\n',
      '      servername: net.isIP(socket.host) ? undefined : socket.host,\n      host: socket.host\n',
    ],
    [
      '    socket = tls.connect(options)\n',
      '    socket = Object.assign(tls.connect(options), { server: options.socket.server })\n',
    ],
    [
      // Settings that not every version of PostgreSQL knows cannot stand in the startup message.
      '    needsTypes = false\n    const types',
      '    needsTypes = false\n    options.session && new Query([options.session], [], execute).catch(noop)\n    const types',
    ],
  ],
  'index.js': [
    [
      '    socket          : o.socket,\n',
      `    socket          : o.socket,
    watch           : o.watch,
    refuse          : o.refuse,
    session         : o.session,
    wait            : o.wait || ${LONGEST_WAIT_MS},
`,
    ],
    [
      '\n  const sql = Sql(handler)\n\n  Object.assign(sql, {\n    get',
      `${OPENER}\n  const sql = Sql(handler)\n\n  Object.assign(sql, {\n    get`,
    ],
    ['\n  function handler(query) {', WAIT],
    [
      `      return go(open.shift(), query)

    if (closed.length)
      return connect(closed.shift(), query)

    busy.length
      ? go(busy.shift(), query)
      : queries.push(query)
`,
      // The connection that was free last: each query of one after another is a fifth to a third faster than with 16 in turns, since
      // one process of PostgreSQL is awake and has all at hand, and connections that are not needed come to their idle time.
      '      return go(open.pop(), query)\n\n    wait(query)\n',
    ],
    [
      `      ? open.shift()
      : await new Promise((resolve, reject) => {
        const query = { reserve: resolve, reject }
        queries.push(query)
        closed.length && connect(closed.shift(), query)
      })
`,
      '      ? open.pop()\n      : await new Promise((resolve, reject) => wait({ reserve: resolve, reject }))\n',
    ],
    ['    let max = Math.ceil(queries.length / (connecting.length + 1))\n', '    let max = 1\n'],
    [
      '      const query = queries.shift()\n      if (query.reserve)',
      '      const query = next()\n      if (query.reserve)',
    ],
    ['queries.length && connect(c, queries.shift())', 'queries.length && connect(c, opener)'],
    [
      "      queries.shift().reject(Errors.connection('CONNECTION_DESTROYED'",
      "      next().reject(Errors.connection('CONNECTION_DESTROYED'",
    ],
    [
      '    move(c, reserved)\n    c.reserved = () => queue.length',
      '    let lost\n    c.onclose = e => { lost = e; while (queue.length) queue.shift().reject(e) }\n    move(c, reserved)\n    c.reserved = () => queue.length',
    ],
    [
      '      c.reserved = null\n      onopen(c)',
      '      if (lost) return\n      c.reserved = c.onclose = null\n      onopen(c)',
    ],
    [
      '      c.queue === full\n        ? queue.push(q)',
      '      lost ? q.reject(lost) : c.queue === full\n        ? queue.push(q)',
    ],
    ['      , prepare = null\n', '      , prepare = null\n      , lost\n'],
    [
      '(_, reject) => connection.onclose = reject)',
      '(_, reject) => connection.onclose = e => { lost = e; while (queries.length) queries.shift().reject(e); reject(e) })',
    ],
    [
      '        c.queue === full\n          ? queries.push(q)',
      '        lost ? q.reject(lost) : c.queue === full\n          ? queries.push(q)',
    ],
  ],
  'queue.js': [
    [
      // Where it never ran empty, as the line of free connections did not, what was taken stayed in the array for good, and was
      // looked through for each query: 60 µs a query at first, 190 after 200,000, and so on. V8 takes the first of an array in no time.
      // That of closed connections still grew by one for each that was opened.
      `    shift: () => {
      const out = xs[index++]

      if (index === xs.length) {
        index = 0
        xs = []
      } else {
        xs[index - 1] = undefined
      }

      return out
    }
`,
      '    pop: () => xs.pop(),\n    shift: () => xs.shift()\n',
    ],
  ],
}

/** The mended copy has addresses of its own, so that whoever imports `postgres` gets the published one. */
const COPY = '?mended'

const hooks = registerHooks({
  resolve(specifier, context, nextResolve) {
    const resolved = nextResolve(specifier, context)
    return context.parentURL?.endsWith(COPY) && specifier.startsWith('.')
      ? { ...resolved, url: resolved.url + COPY }
      : resolved
  },
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context)
    const [, file = ''] = /\/postgres\/src\/([^/]+)\?mended$/.exec(url) ?? []
    const source = (MENDS[file] ?? []).reduce((text, mend) => apply(text, mend), String(loaded.source ?? ''))
    return MENDS[file] ? { ...loaded, source } : loaded
  },
})

function apply(source: string, [published, mended]: Mend): string {
  const parts = source.split(published)
  if (parts.length !== 2) throw new Error('postgres is not version 3.4.9, which src/database/driver.ts mends')
  return parts.join(mended)
}

const module = (await import(import.meta.resolve('postgres') + COPY)) as { default: typeof postgresType }
hooks.deregister()

export const postgres = module.default

/** Whether a connection to the database could not be made, was lost, or was waited for in vain. */
export const isConnectionError = (error: Error) => 'isDatabaseConnection' in error
