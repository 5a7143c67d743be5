import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fastifyStatic from '@fastify/static'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import plugin from 'fastify-plugin'
import { answerError } from './error-responses.ts'

const FOLDER = join(import.meta.dirname, '../../ui')

/** The others are types. */
const SERVED = /\.(html|js|css|svg)$/

/** The modules of npm packages that the page imports as `./vendor/<name>`. */
const VENDOR = {
  'preact.mjs': 'preact',
  'hooks.mjs': 'preact/hooks',
  'htm.mjs': 'htm',
}

/**
 * Nothing but files of this service: no inline script or style, no other host, no frame, no form. See next to it `own-site.ts`, which
 * protects a service without keys.
 */
const HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  // The names of the files stay the same in the next version, so the browser asks each time, mostly for a 304.
  'cache-control': 'no-cache',
}

/**
 * Serves the operator's page: `/` and `/ui` lead to `/ui/`, whose files need no key. Every address is relative, so the page also works
 * behind a proxy that adds a path.
 */
export const ui = plugin(
  async (app: FastifyInstance) => {
    for (const path of ['/', '/ui']) {
      app.get(path, { schema: { hide: true } }, (_request, reply) => reply.redirect('ui/', 302))
    }
    // Known from the start: any other path is 404 without a look at the disk.
    const files = new Set(
      readdirSync(FOLDER, { recursive: true, encoding: 'utf8' }).filter((path) => SERVED.test(path)),
    )
    await app.register(fastifyStatic, { root: FOLDER, serve: false, cacheControl: false }) // for sendFile
    // One route for all: with one for each file and method, these are a third of all routes, 20 ms of CPU time at every start.
    app.get(
      '/ui/*',
      {
        schema: { hide: true },
        config: { isThere: (request) => files.has(fileOf(request)) },
        errorHandler: answerUnlessGone,
      },
      (request, reply) => reply.headers(HEADERS).sendFile(fileOf(request)),
    )
    for (const [name, specifier] of Object.entries(VENDOR)) {
      const text = vendorModule(specifier)
      const etag = `W/"${createHash('sha256').update(text).digest('base64url')}"`
      app.get(`/ui/vendor/${name}`, { schema: { hide: true } }, (request, reply) =>
        sendModule(request, reply, text, etag),
      )
    }
  },
  { name: 'ui' },
)

const fileOf = ({ params }: FastifyRequest) => (params as { '*': string })['*'] || 'index.html'

/** A client that is gone before the first byte is no error. The routes of @fastify/static itself do the same. */
function answerUnlessGone(error: FastifyError, request: FastifyRequest, reply: FastifyReply) {
  if (error.code === 'ERR_STREAM_PREMATURE_CLOSE') request.raw.destroy()
  else answerError(error, request, reply)
}

/** Weak, because each content coding has other bytes. */
function sendModule({ headers }: FastifyRequest, reply: FastifyReply, text: string, etag: string) {
  reply.headers(HEADERS).header('etag', etag)
  if (headers['if-none-match'] === etag) return reply.code(304).send()
  return reply.type('text/javascript; charset=utf-8').send(text)
}

/**
 * Returns a package's own module, with relative imports: browsers resolve bare names by an import map only, which would have to be
 * inline. Throws an Error if an import is left that the page does not serve.
 */
function vendorModule(specifier: string): string {
  const names = Object.entries(VENDOR)
  const text = readFileSync(fileURLToPath(import.meta.resolve(specifier)), 'utf8')
    .replace(/\n\/\/# sourceMappingURL=.*/, '')
    .replaceAll(/(from|import)"([^"]+)"/g, (_all, keyword: string, imported: string) => {
      const name = names.find(([, from]) => from === imported)?.[0]
      if (name === undefined) throw new Error(`${specifier} imports ${imported}, which the page does not serve`)
      return `${keyword}"./${name}"`
    })
  return text
}
