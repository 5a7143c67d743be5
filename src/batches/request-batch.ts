import type { Sql } from 'postgres'
import { type Static, Type } from 'typebox'
import type { Config } from '../config/config.ts'
import { strictNamed } from '../http/schemas.ts'
import { poolParam } from '../pools/pool-parameter.ts'
import { type BatchConfigBody, batchConfigBody } from './batch-config.ts'
import { TemplateName } from './batch-schema.ts'
import { completeConfig } from './complete-config.ts'
import { createBatch } from './create-batch.ts'

/** The body of a request for a batch. */
export const batchBody = (config: Config) =>
  strictNamed('NewBatch', {
    ...poolParam,
    count: Type.Integer({ minimum: 1, maximum: config.maxBatchUsers }),
    label: Type.Optional(Type.String({ maxLength: 200 })),
    expires_in: Type.Optional(Type.Integer({ minimum: 1, maximum: 315_360_000, description: 'Seconds' })),
    template: Type.Optional(TemplateName),
    config: Type.Optional(batchConfigBody(config)),
  })

/** What requests for batches need from the service. */
export interface BatchContext {
  config: Config
  sql: Sql
  encryptionKey: Buffer
  /** Reads a template and overrides it with the settings of a request. Throws `template_not_found` and `invalid_request`. */
  withTemplate: (poolId: number, template: string, given: BatchConfigBody) => Promise<BatchConfigBody>
}

interface BatchRequest {
  pool: { id: number; name: string }
  body: Static<ReturnType<typeof batchBody>>
  /** The Idempotency-Key, and the name of the API key that sent it: `''` without one. */
  idempotency: { owner: string; key: string } | undefined
}

/**
 * Creates a batch from a valid body: its settings are those of the body, then those of the template, then the defaults. Returns the
 * batch's id, or that of the earlier batch with the same idempotency key and body. Throws what `withTemplate`, `completeConfig` and
 * `createBatch` throw; then there is no batch.
 */
export async function requestBatch(context: BatchContext, { pool, body, idempotency }: BatchRequest): Promise<string> {
  const { config, sql, encryptionKey, withTemplate } = context
  const { count, label = null, expires_in: expiresIn = null, template = 'default', config: given = {} } = body
  return await createBatch(
    sql,
    {
      poolId: pool.id,
      count,
      label,
      expiresIn,
      idempotency: idempotency && { ...idempotency, body: { ...body, pool: pool.name } },
      resolveSettings: async () => completeConfig(await withTemplate(pool.id, template, given), count, config),
    },
    { reservedDomains: config.reservedDomains, encryptionKey },
  )
}
