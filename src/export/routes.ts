import { Readable } from 'node:stream'
import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import type { Sql } from 'postgres'
import { Type } from 'typebox'
import type { Config } from '../config.ts'
import { poolName } from '../pools/pool-parameter.ts'
import { filterMembers, filterOf } from '../users/filter-parameters.ts'
import { createAdmission } from './admission.ts'
import { planAnswer } from './answer.ts'
import { setCachingHeaders, setStateHeaders } from './answer-headers.ts'
import { ExportQuery, readExportRequest } from './export-request.ts'
import { FORMATS, type Format } from './format.ts'
import { openExport } from './open-export.ts'
import { lookUpScope, oldestBaseAt } from './scope-state.ts'
import type { State } from './state.ts'

/** How long an export waits for a place before it is refused. */
const ADMISSION_WAIT_MS = 5_000

/** States, and the export by the state that the client holds: unchanged, a delta, or full. */
export const exportRoutes: FastifyPluginCallbackTypebox<{ config: Config; sql: Sql; encryptionKey: Buffer }> = (
  app,
  options,
  done,
) => {
  const { sql, encryptionKey } = options
  const admission = createAdmission(options.config.exportConcurrency, ADMISSION_WAIT_MS)
  const config = { scope: 'users:read' } as const
  const tags = ['export']

  // An export whose client has gone still reads its last page; the driver waits for none when its connections are closed.
  app.addHook('onClose', () => admission.empty())

  app.get(
    '/v1/states/current',
    {
      config,
      schema: {
        tags,
        summary: 'The present state of a filter',
        querystring: Type.Object(filterMembers, { additionalProperties: false }),
        response: {
          200: Type.Object({
            state: Type.String(),
            total_count: Type.Integer(),
            oldest_base_at: Type.Union([Type.String(), Type.Null()]),
          }),
        },
      },
    },
    async (request) => {
      const filter = filterOf(request, request.query)
      const { poolId, state, userCount } = await lookUpScope(sql, poolName(request.query), filter)
      return { state, total_count: userCount, oldest_base_at: await oldestBaseAt(sql, { poolId, ...filter }) }
    },
  )

  app.get(
    '/v1/users/export',
    {
      config: { ...config, work: true },
      schema: {
        tags,
        summary: 'Export users: unchanged, a delta, or all',
        description:
          'Send the state that you hold as `base=` or `If-None-Match`. See “States and differential export”.',
        querystring: ExportQuery,
      },
    },
    async (request, reply) => {
      const asked = readExportRequest(request, request.query)
      setCachingHeaders(reply)
      const { state, ...present } = await lookUpScope(sql, asked.pool, asked.filter)
      if (asked.isMatch(state)) return sendNotModified(reply, state)
      if (request.method === 'HEAD') {
        const filter = { poolId: present.poolId, ...asked.filter }
        const plan = await planAnswer(sql, filter, { state, ...present }, asked)
        setStateHeaders(reply, plan.kind, plan.base?.state, state)
        return reply.type(contentType(asked.format)).send(null)
      }
      const opened = await openExport({ sql, admission, encryptionKey }, asked)
      if (asked.isMatch(opened.state)) {
        await opened.release()
        return sendNotModified(reply, opened.state)
      }
      setStateHeaders(reply, opened.plan.kind, opened.plan.base?.state, opened.state)
      reply.type(contentType(asked.format))
      return await send(reply, opened.text, options.config.compressionThreshold)
    },
  )

  done()
}

const contentType = (format: Format) => `${FORMATS[format].mediaType}; charset=utf-8`

function sendNotModified(reply: FastifyReply, state: State) {
  setStateHeaders(reply, 'unchanged', state, state)
  return reply.code(304).send()
}

/**
 * Sends a small answer whole, with its length, and a larger one as a stream. What is smaller than the compression
 * threshold must be known to be so before the first byte goes out, since a stream is always compressed.
 */
async function send(reply: FastifyReply, text: AsyncGenerator<string, void, void>, threshold: number) {
  let start = ''
  while (Buffer.byteLength(start) < threshold || start === '') {
    const { value, done } = await text.next()
    if (done) return reply.send(start)
    start += value
  }
  async function* whole() {
    yield start
    yield* text
  }
  const stream = Readable.from(whole(), { objectMode: false, highWaterMark: 65_536 })
  // A client may be gone before the first read; then nothing else would end `text` and give its snapshot back.
  stream.once('close', () => void text.return())
  return reply.send(stream)
}
