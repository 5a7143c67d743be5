import { randomUUID } from 'node:crypto'
import type { Sql } from 'postgres'
import type { BatchConfig } from '../../src/batches/batch-config.ts'
import { createBatch } from '../../src/batches/create-batch.ts'
import { compileUsers } from '../../src/batches/generated-users.ts'
import type { Population } from '../../src/generators/compile-population.ts'

export const KEY = Buffer.alloc(32, 'k')

/**
 * Creates a batch of 20 users in a database without a service, so that the test can work on its chunks. Returns its id.
 */
export function newBatch(sql: Sql, config: Partial<BatchConfig> = {}): Promise<string> {
  const settings: BatchConfig = {
    username_pattern: `${randomUUID()}_{id}`,
    email_domain: 'example.com',
    role: 'user',
    custom_attributes: {},
    password_mode: 'shared',
    password_hash: { algorithm: 'none', distinct: 1 },
    chunk_size: 10,
    max_workers: 2,
    ...config,
  }
  const users = compileUsers(settings, 20) as Population
  const resolveSettings = () => Promise.resolve({ settings, password: 'TestPass123!', users })
  const batch = { poolId: 1, count: 20, label: null, expiresIn: null, resolveSettings, idempotency: undefined }
  return createBatch(sql, batch, { reservedDomains: ['example.com'], encryptionKey: KEY })
}
