import { registerHooks } from 'node:module'
import type postgresType from 'postgres'

/*
 * postgres.js 3.4.9 with fixes for connections that are lost in a transaction. In the published version, a query on
 * such a connection throws where nothing can catch it and ends the process (porsager/postgres#1066, #1154, #1208),
 * later queries may run inside another transaction (#1216), and the pool never recovers the connection. Fixes are
 * proposed (#1209, #1215) but not released.
 *
 * The fixes below are our own. The reserved or transaction handle of a lost connection rejects its queries,
 * half-written data is discarded, every wait for a connection has a limit, and a query does not become slower with the
 * number of earlier queries. They patch the source when it is loaded, in the main thread and in worker threads. When a
 * release has fixed these bugs, `import postgres from 'postgres'` replaces this file.
 */

type Mend = [published: string, mended: string]

/**
 * How long a query waits for a connection, opening one included, unless the option `wait` is set, and how many queries
 * may wait. In the published version queries wait without limit. A query that was assigned to a connection that cannot
 * be opened waits for ever. If all connections are busy, queries are sent to one of them at once, and wait for whatever
 * it is doing.
 */
const LONGEST_WAIT_MS = 5_000
const MOST_WAITING = 1_000

/**
 * All queries wait in one queue. Each connection takes the first query when it is open or free. A connection is opened
 * for the queue, not for a query. If one cannot be opened and no other can serve the queue, the first query fails.
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

/** Marks an error of the connection itself, whatever its code: sockets, TLS, name look-ups, timeouts. */
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
    // A connect that fails at once (ENETUNREACH, EMFILE) emits its error in the next tick, before the code after an
    // `await` runs. Without a listener, it ended the process.
    [
      '  async function createSocket() {\n    let x\n    try {\n      x = options.socket\n        ? (await Promise.resolve(options.socket(options)))\n',
      '  function createSocket() {\n    let x\n    try {\n      x = options.socket\n        ? options.socket(options)\n',
    ],
    ['    socket || (socket = await createSocket())\n', '    socket || (socket = createSocket())\n'],
    [
      // a connection that was closed while it opened was reopened again and again, and reported no error
      '    socket = null\n\n    if (initial)\n      return reconnect()\n\n    !hadError && (query || sent.length) && error(',
      '    socket = chunk = nextWriteTimer = errorResponse = null\n    hasVerifiedServer = false\n\n    ;(initial || query || sent.length) && error(',
    ],
    ['    closedTime = performance.now()\n', '    query = null\n    closedTime = performance.now()\n'],
    [
      '    const x = socket.write(chunk, fn)\n',
      '    if (!socket) return (chunk = nextWriteTimer = null, false)\n    const x = socket.write(chunk, fn)\n',
    ],
    [
      // Writes at the end of the event-loop turn wait for everything else in the turn: the look-up for the next
      // unchanged exports was sent after the responses to the previous ones. Here a write is a whole query, so there is
      // nothing to batch.
      '    nextWriteTimer === null && (nextWriteTimer = setImmediate(nextWrite))\n    return true\n',
      '    nextWrite()\n    return true\n',
    ],
    [
      // a connection that is lost while it queries the types ended the process with an unhandled rejection
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
    // A password request is answered only if `options.refuse` returns no error.
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
      // A server without TLS caused a handshake error that did not say so.
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
      // Settings that not every version of PostgreSQL has cannot be in the startup message.
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
      // Use the connection that became free last. Sequential queries are a fifth to a third faster than with 16
      // connections in turn, because one warm PostgreSQL process serves them, and unused connections reach their idle
      // timeout.
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
      // If the queue never became empty, as the queue of free connections never did, removed items stayed in the array
      // and every query scanned them: 60 µs a query at first, 190 µs after 200,000 queries, and growing. V8 removes the
      // first item of an array in no time. The queue of closed connections grew by one for each opened connection.
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

/** The patched copy has a separate URL, so that other imports of `postgres` get the published version. */
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

/** Whether a connection could not be opened, was lost, or did not become free in time. */
export const isConnectionError = (error: Error) => 'isDatabaseConnection' in error
