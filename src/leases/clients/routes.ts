import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { FastifyPluginAsync } from 'fastify'
import { Type } from 'typebox'
import { sendHead } from '../../http/compression.ts'
import { strict } from '../../http/schemas.ts'

const FILES = {
  'k6.js': { type: 'text/javascript; charset=utf-8', summary: 'Get the client for k6' },
  'usersync.py': {
    type: 'text/x-python; charset=utf-8',
    summary: 'Get the client for Locust and other Python programs',
  },
} as const

/**
 * `/clients/`: the files of this folder that load generators copy. Like the documentation they contain no data, so they need no key: k6
 * and curl fetch them without one.
 */
export const clientFiles: FastifyPluginAsync = async (app) => {
  for (const [name, { type, summary }] of Object.entries(FILES)) {
    const text = await readFile(new URL(name, import.meta.url), 'utf8')
    // Weak, because a compressed response has the same.
    const etag = `W/"${createHash('sha256').update(text).digest('base64url')}"`
    app.get(
      `/clients/${name}`,
      {
        schema: {
          tags: ['clients'],
          summary,
          querystring: strict({}),
          produces: [type],
          response: { 200: Type.String(), 304: Type.Null() },
          security: [],
        },
      },
      (request, reply) => {
        const headers = { etag, 'cache-control': 'no-cache' }
        if (isHeld(request.headers['if-none-match'], etag)) return sendHead(reply, 304, headers)
        return reply.headers(headers).type(type).send(text)
      },
    )
  }
}

/** Whether `If-None-Match` names this version (RFC 9110 section 13.1.2: the comparison is weak). */
const isHeld = (names: string | undefined, etag: string) =>
  names?.split(',').some((name) => name.trim().replace(/^(W\/)?/, 'W/') === etag || name.trim() === '*')
