import type { Sql } from 'postgres'
import { openSnapshot } from '../../src/database/session.ts'
import { jsonLine } from '../../src/export/lines.ts'
import { makeAnswer, planAnswer } from '../../src/export/make-answer.ts'
import { writeNdjson } from '../../src/export/ndjson.ts'
import type { ExportHead } from '../../src/protocol/read-export.ts'
import type { Filter } from '../../src/states/filter.ts'
import { lookUpScope } from '../../src/states/scope-state.ts'
import { applyExport, type Held } from './apply-export.ts'

type PoollessFilter = Omit<Filter, 'poolId'>

export const NOTHING: Held = { state: undefined, lines: new Map() }

/** Creates a pool, so that histories in one database do not interfere. */
export async function makePool(sql: Sql, name: string): Promise<number> {
  const [row] = await sql<{ id: number }[]>`insert into pools (name) values (${name}) returning id`
  return row?.id ?? 0
}

/** Exports as a client that holds `held` does, applies the response, and checks the result against its state. */
export async function exportTo(
  sql: Sql,
  pool: string,
  filter: PoollessFilter,
  held: Held,
): Promise<{ head: ExportHead; held: Held }> {
  const snapshot = await openSnapshot(sql)
  try {
    const present = await lookUpScope(snapshot.sql, pool, filter)
    const selection = { filter: { poolId: present.poolId, ...filter }, shard: undefined, form: jsonLine }
    const request = { knownStates: held.state === undefined ? [] : [held.state], differential: true }
    const plan = await planAnswer(snapshot.sql, selection.filter, present, request)
    const answer = await makeAnswer(snapshot.sql, selection, present, plan)
    let body = ''
    for await (const text of writeNdjson(answer)) body += text
    return applyExport(held, body)
  } finally {
    await snapshot.close()
  }
}

/**
 * The state of a filter computed from the rows, with the same SQL functions but without anything the triggers store.
 */
export async function stateFromScratch(sql: Sql, poolId: number, filter: PoollessFilter): Promise<string> {
  const [row] = await sql<{ state: string }[]>`
    select state_name(
        wrap_word(coalesce(sum(substring(d from 1 for 64)::bigint), 0)), wrap_word(coalesce(sum(substring(d from 65 for 64)::bigint), 0)),
        wrap_word(coalesce(sum(substring(d from 129 for 64)::bigint), 0)), wrap_word(coalesce(sum(substring(d from 193 for 64)::bigint), 0))
      ) as state
    from (
      select line_digest(user_line(id, username, email, role, is_test_user, batch_id, created_by_bulk, custom_attributes,
        created_at, updated_at)) as d
      from users
      where pool_id = ${poolId} and (${filter.batchId ?? null}::uuid is null or batch_id = ${filter.batchId ?? null}::uuid)
        and (is_test_user or not ${filter.testUsersOnly}) and (created_by_bulk or not ${filter.bulkUsersOnly})
    ) digests`
  return row?.state ?? ''
}

/** The counts that a delta from `base` to `present` must have. */
export function expectedCounts(base: Held, present: Held) {
  const counts = { added: 0, updated: 0, deleted: 0 }
  for (const [id, line] of present.lines) {
    const before = base.lines.get(id)
    if (before === undefined) counts.added++
    else if (before !== line) counts.updated++
  }
  for (const id of base.lines.keys()) if (!present.lines.has(id)) counts.deleted++
  return counts
}
