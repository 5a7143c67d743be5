import type { Sql } from 'postgres'
import { type BatchConfigBody, batchConfigBody } from '../batches/batch-config.ts'
import type { Config } from '../config.ts'
import { overlay } from './overlay.ts'
import { memberReader } from './read-members.ts'
import { readTemplate } from './templates.ts'

/**
 * Gives the settings that a request asks for by a template and its own `config` over it. They are read again as a whole:
 * a template may be older than the service's limits. Throws `template_not_found` and `invalid_request`.
 */
export function templateReader(sql: Sql, config: Config) {
  const readMembers = memberReader(batchConfigBody(config))
  return async (poolId: number, name: string, given: BatchConfigBody): Promise<BatchConfigBody> =>
    readMembers(overlay((await readTemplate(sql, poolId, name)).config, given))
}
