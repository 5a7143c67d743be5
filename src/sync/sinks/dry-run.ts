import type { ISql, Sql } from 'postgres'
import { readUserLines } from '../../export/user-lines.ts'
import type { SinkUser } from '../kinds/kind.ts'
import { isSink, kindOf } from '../kinds/kinds.ts'
import { secretsOf } from '../kinds/values.ts'
import type { Target } from '../targets.ts'
import { planRun } from './plan-run.ts'
import type { SinkParts } from './run-sink.ts'
import { dueUsers, isWanted } from './sink-users.ts'

/** How many users a dry run shows. */
const SAMPLE = 3

/** What a run would do. */
export interface DryRun {
  kind: string | null
  base: string | null
  state: string | null
  added_count: number
  updated_count: number
  deleted_count: number
  /** The first users as they would be sent, without secrets. */
  users: object[]
}

/** Thrown to roll back what was only planned. */
class Planned extends Error {
  readonly result: DryRun

  constructor(result: DryRun) {
    super('planned')
    this.result = result
  }
}

/** Plans a run, counts what it would do, and takes the plan back. Sends nothing. Throws `pool_not_found` and `overloaded`. */
export async function dryRun(
  { sql, exports, encryptionKey }: Omit<SinkParts, 'targetHosts'>,
  target: Target,
  full: boolean,
): Promise<DryRun> {
  try {
    return await planRun({ sql, exports, target, full, clear: false }, async (plan, tx) => {
      const counts = await countDue(tx, target)
      const users = await sample(sql, tx, target, encryptionKey)
      throw new Planned({ ...plan, ...counts, users })
    })
  } catch (error) {
    if (error instanceof Planned) return error.result
    throw error
  }
}

async function countDue(tx: ISql, { poolId, name, filter }: Target) {
  const [row] = await tx<Pick<DryRun, 'added_count' | 'updated_count' | 'deleted_count'>[]>`
    select count(*) filter (where wanted and external is null)::int as added_count,
      count(*) filter (where wanted and external is not null)::int as updated_count,
      count(*) filter (where not wanted and external is not null)::int as deleted_count
    from (
      select s.external, ${isWanted(tx, filter, false)} as wanted from sink_users s
      where s.pool_id = ${poolId} and s.target = ${name} and s.is_due
    ) s`
  return row ?? { added_count: 0, updated_count: 0, deleted_count: 0 }
}

async function sample(sql: Sql, tx: ISql, target: Target, encryptionKey: Buffer): Promise<object[]> {
  if (!isSink(target.kind)) return []
  const kind = kindOf(target.kind)
  const filter = { poolId: target.poolId, ...target.filter }
  const after = '00000000-0000-0000-0000-000000000000'
  const due = await dueUsers(tx, target, { filter, clear: false, removals: false, after, limit: SAMPLE })
  const ids = due.map(({ user_id }) => user_id)
  const lines = await readUserLines(sql, { filter, credentials: secretsOf(target.mapping), encryptionKey }, ids)
  return lines.map((line) => {
    const user = JSON.parse(line) as SinkUser
    const rendered = kind.render(target.mapping ?? {}, user, false)
    return {
      user_id: user.id,
      operation: due.find(({ user_id }) => user_id === user.id)?.external === null ? 'create' : 'update',
      ...('refusal' in rendered ? { refused: rendered.refusal } : kind.show(rendered.rendered)),
    }
  })
}
