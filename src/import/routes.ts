import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import type { Sql } from 'postgres'
import { Type } from 'typebox'
import { BatchResponse, ImportFormat, OnConflict } from '../batches/batch-schema.ts'
import { readBatch } from '../batches/batches.ts'
import type { Config } from '../config/config.ts'
import { Problem } from '../errors.ts'
import { strict } from '../http/schemas.ts'
import { acceptUploads, type Patience } from '../http/upload.ts'
import { poolOf, poolParam, urlInPool } from '../pools/pool-parameter.ts'
import { findPoolId } from '../pools/pools.ts'
import { importUsers } from './import-users.ts'
import { readCsv } from './read-csv.ts'
import { readJson } from './read-json.ts'
import { readNdjson } from './read-ndjson.ts'

const READERS = { json: readJson, ndjson: readNdjson, csv: readCsv }

/** The schemas only describe: the readers validate. */
const BODIES = {
  'application/json': {
    schema: {
      description: 'An array of users, or a full export',
      examples: [[{ username: 'ada', email: 'ada@example.com', custom_attributes: { plan: 'gold' } }]],
    },
  },
  'application/x-ndjson': {
    schema: {
      description: 'A user a line, or a full export',
      examples: ['{"username": "bob", "email": "bob@example.com"}\n'],
    },
  },
  'text/csv': {
    schema: {
      description: 'A header row that names the columns, and a row for each user',
      examples: ['username,email\ncarol,carol@example.com\n'],
    },
  },
}

const FORMATS: Record<string, ImportFormat> = {
  'application/json': 'json',
  'application/x-ndjson': 'ndjson',
  'text/csv': 'csv',
}

interface ImportOptions {
  config: Config
  sql: Sql
  /** Connections reserved for uploads while their clients send. */
  uploads: Sql
  patience?: Patience
}

/** Imports users from a file. The file is staged while it arrives, and applied as a whole or not at all. */
export const importRoutes: FastifyPluginCallbackTypebox<ImportOptions> = (app, options, done) => {
  const { config, sql, uploads, patience } = options
  const { importLimitMb: limitMb, waitSeconds } = config
  const receive = acceptUploads(app, { limitMb, waitMs: waitSeconds * 1000, patience })

  app.post(
    '/v1/users/import',
    {
      config: { scope: 'users:write', work: true, readsBody: true },
      compress: false,
      decompress: false,
      schema: {
        operationId: 'importUsers',
        tags: ['users'],
        summary: 'Import users',
        description:
          'Accepts a JSON array, NDJSON, CSV with a header row, or an unmodified full export. Everything is imported in one transaction, or nothing.',
        querystring: strict({
          ...poolParam,
          on_conflict: Type.Optional(OnConflict),
          format: Type.Optional(ImportFormat),
          label: Type.Optional(Type.String({ maxLength: 200 })),
        }),
        body: { content: BODIES },
        response: { 201: BatchResponse },
        problems: [
          'invalid_csv',
          'import_credentials',
          'import_cut',
          'import_not_full',
          'import_conflict',
          'pool_is_replica',
          'import_invalid',
        ],
      },
    },
    async (request, reply) => {
      const { on_conflict = 'fail', label = null } = request.query
      const format = formatOf(request, request.query.format)
      const pool = poolOf(request)
      const poolId = await findPoolId(sql, pool)
      const { reservedDomains, maxBatchUsers: maxRows } = config
      const settings = { on_conflict, format }
      const id = await receive(request, (texts) => {
        const rows = READERS[format](texts)
        return importUsers(uploads, { poolId, label, config: settings, reservedDomains, maxRows, rows })
      })
      return reply
        .code(201)
        .header('location', urlInPool(`/v1/batches/${id}`, pool))
        .send(await readBatch(sql, poolId, id))
    },
  )

  done()
}

/**
 * Content types that a web page may send to another site without a preflight request:
 * https://fetch.spec.whatwg.org/#cors-safelisted-request-header
 */
const SIMPLE_TYPES = new Set(['', 'text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data'])

/**
 * Returns the format of the body: `format`, or the one that Content-Type names. `format` does not replace a
 * Content-Type, so that a web page of another site cannot import. Throws `media_type_unsupported`.
 */
function formatOf(request: FastifyRequest, format: ImportFormat | undefined): ImportFormat {
  const [text = ''] = (request.headers['content-type'] ?? '').split(';')
  const mediaType = text.trim().toLowerCase()
  const named = SIMPLE_TYPES.has(mediaType) ? undefined : (format ?? FORMATS[mediaType])
  if (named !== undefined) return named
  throw new Problem(
    'media_type_unsupported',
    `Set Content-Type to ${Object.keys(FORMATS).join(', ')}; with format=, any other type except text/plain and form types.`,
  )
}
