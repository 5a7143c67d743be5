import { registerHooks } from 'node:module'
import type postgresType from 'postgres'

/*
 * postgres.js 3.4.9 with its handling of a connection that is lost in a transaction mended. As published, a query sent on
 * such a connection throws where nobody can catch it and ends the process (porsager/postgres#1066, #1154, #1208), later
 * ones may run inside somebody else's transaction (#1216), and the pool never gets the connection back. Fixes are proposed
 * (#1209, #1215) and not released. The mends below are our own: a lost connection's reserved or transaction handle rejects
 * what is asked of it, and what was half written is forgotten. They are applied to the source as it is loaded, in main and
 * worker threads alike. When a release has fixed it, `import postgres from 'postgres'` replaces this file.
 */

type Mend = [published: string, mended: string]

const MENDS: Record<string, Mend[]> = {
  'connection.js': [
    [
      '    socket = null\n\n    if (initial)',
      '    socket = chunk = nextWriteTimer = errorResponse = null\n\n    if (initial)',
    ],
    ['    !hadError && (query || sent.length) && error(', '    ;(query || sent.length) && error('],
    ['    closedTime = performance.now()\n', '    query = null\n    closedTime = performance.now()\n'],
    [
      '    const x = socket.write(chunk, fn)\n',
      '    if (!socket) return (chunk = nextWriteTimer = null, false)\n    const x = socket.write(chunk, fn)\n',
    ],
  ],
  'index.js': [
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
