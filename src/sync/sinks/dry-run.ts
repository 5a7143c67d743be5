import type { ISql } from 'postgres'
import { FIRST_ID, LAST_ID } from '../../database/id-bounds.ts'
import { isSink, kindOf } from '../kinds/kinds.ts'
import type { Target } from '../targets.ts'
import { countDue, type DueCounts, dueUsers } from './due-users.ts'
import { planRun } from './plan-run.ts'
import type { SinkParts } from './run-sink.ts'
import { membersFor } from './user-members.ts'

/** How many users a dry run shows. */
const SAMPLE = 3

/** What a run would do. */
export interface DryRun extends DueCounts {
  kind: string | null
  base: string | null
  state: string | null
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
    return await planRun({ sql, exports, target, full, clear: false }, async ({ plan, isFilling }, tx) => {
      const counts = await countDue(tx, target, { filter: target.filter, isFilling, clear: false })
      const users = await sample(tx, target, { isFilling, encryptionKey })
      throw new Planned({ ...plan, ...counts, users })
    })
  } catch (error) {
    if (error instanceof Planned) return error.result
    throw error
  }
}

async function sample(
  tx: ISql,
  target: Target,
  { isFilling, encryptionKey }: { isFilling: boolean; encryptionKey: Buffer },
): Promise<object[]> {
  if (!isSink(target.kind)) return []
  const kind = kindOf(target.kind)
  const members = membersFor(kind, target.mapping, encryptionKey)
  const filling = isFilling ? { lastKnown: LAST_ID } : undefined
  const due = await dueUsers(tx, target, { filter: target.filter, members, filling, after: FIRST_ID, limit: SAMPLE })
  members.complete(due)
  const mapping = target.mapping ?? {}
  return due.map((user) => {
    const rendered = kind.render(mapping, user, false)
    return {
      user_id: user.id,
      operation: user.external === null ? 'create' : 'update',
      ...('refusal' in rendered ? { refused: rendered.refusal } : kind.show(rendered.rendered, mapping)),
    }
  })
}
