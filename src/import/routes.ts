import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import type { Sql } from 'postgres'
import { Type } from 'typebox'
import { BatchAnswer } from '../batches/batch-schema.ts'
import { readBatch } from '../batches/batches.ts'
import { ImportFormat, OnConflict } from '../batches/import-config.ts'
import type { Config } from '../config.ts'
import { Problem } from '../errors.ts'
import { createAdmission } from '../http/admission.ts'
import { answerFirst } from '../http/answer-first.ts'
import { codingOf, decodeBody } from '../http/decode.ts'
import { type Patience, readBody } from '../http/streamed-body.ts'
import { poolMember, poolName } from '../pools/pool-parameter.ts'
import { findPoolId } from '../pools/pools.ts'
import { importUsers } from './import-users.ts'
import { readCsv } from './read-csv.ts'
import { readJson } from './read-json.ts'
import { readNdjson } from './read-ndjson.ts'

/** The longest that an import may take to arrive; the server must not cut it off before. */
export const LONGEST_IMPORT_MS = 900_000

const READERS = { json: readJson, ndjson: readNdjson, csv: readCsv }

const FORMATS: Record<string, ImportFormat> = {
  'application/json': 'json',
  'application/x-ndjson': 'ndjson',
  'text/csv': 'csv',
}

/** Each holds a connection and the memory of a few pages. */
const PLACES = 2

interface ImportOptions {
  config: Config
  sql: Sql
  patience?: Patience
}

/** Users taken from a file: read as it arrives, written page by page, kept as a whole or not at all. */
export const importRoutes: FastifyPluginCallbackTypebox<ImportOptions> = (app, options, done) => {
  const { config, sql, patience = { silenceMs: 30_000, totalMs: LONGEST_IMPORT_MS } } = options
  const admission = createAdmission(PLACES, config.waitSeconds * 1000)

  // Bodies stay in the request until they are read, of any type: see formatOf.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _payload, parsed) => parsed(null))
  app.addHook('onSend', answerFirst)
  app.addHook('onClose', () => admission.empty())

  app.post(
    '/v1/users/import',
    {
      config: { scope: 'users:write', work: true, readsBody: true },
      compress: false,
      decompress: false,
      schema: {
        tags: ['users'],
        summary: 'Import users',
        description:
          'A JSON array, NDJSON or CSV with a head row; or a full export as it is. All of it is kept, in one transaction, or nothing.',
        querystring: Type.Object(
          {
            ...poolMember,
            on_conflict: Type.Optional(OnConflict),
            format: Type.Optional(ImportFormat),
            label: Type.Optional(Type.String({ maxLength: 200 })),
          },
          { additionalProperties: false },
        ),
        body: { content: Object.fromEntries(Object.keys(FORMATS).map((type) => [type, { schema: {} }])) },
        response: { 201: BatchAnswer },
      },
    },
    async (request, reply) => {
      const { on_conflict = 'fail', label = null } = request.query
      const format = formatOf(request, request.query.format)
      const coding = codingOf(request.headers['content-encoding'])
      const pool = poolName(request.query)
      const poolId = await findPoolId(sql, pool)

      const leave = await admission.enter()
      const stop = new AbortController()
      try {
        const texts = decodeBody(readBody(request.raw, patience, stop.signal), coding, config.importLimitMb)
        const { reservedDomains, maxBatchUsers: mostRows } = config
        const rows = READERS[format](texts)
        const settings = { on_conflict, format }
        const id = await importUsers(sql, { poolId, label, config: settings, reservedDomains, mostRows, rows })
        return await reply
          .code(201)
          .header('location', `/v1/batches/${id}${pool === 'default' ? '' : `?pool=${pool}`}`)
          .send(await readBatch(sql, poolId, id))
      } finally {
        stop.abort()
        leave()
      }
    },
  )

  done()
}

/** The types that a web page may send to any other site without asking it first: https://fetch.spec.whatwg.org/#cors-safelisted-request-header */
const SIMPLE_TYPES = new Set(['', 'text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data'])

/**
 * The form of the body: `format`, or what Content-Type names. `format` does not replace a Content-Type, so that no web page
 * of another site can import. Throws `media_type_unsupported`.
 */
function formatOf(request: FastifyRequest, format: ImportFormat | undefined): ImportFormat {
  const [text = ''] = (request.headers['content-type'] ?? '').split(';')
  const mediaType = text.trim().toLowerCase()
  const named = SIMPLE_TYPES.has(mediaType) ? undefined : (format ?? FORMATS[mediaType])
  if (named !== undefined) return named
  throw new Problem(
    'media_type_unsupported',
    `Set Content-Type to ${Object.keys(FORMATS).join(', ')}; with format= any other type but text/plain and those of forms.`,
  )
}
