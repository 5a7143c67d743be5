import type { ISql } from 'postgres'
import type { Row } from './row.ts'

/** The target of an import. */
export interface Target {
  poolId: number
  batchId: string
  /** Followed by the number of a row, the id of a user whose row has none. */
  userIdPrefix: string
}

/** Large enough that PostgreSQL sets the pace, small enough that a few pages need little memory. */
const PAGE_ROWS = 2_000
const PAGE_CHARACTERS = 1_048_576

/**
 * Creates the table that stores rows while the client sends them. It does not refer to `users`, so it locks nothing
 * there.
 */
export async function createStagedRows(session: ISql): Promise<void> {
  await session`
    create temp table staged_rows (
      n int primary key, pool_id int not null, has_id boolean not null, id uuid not null,
      username text not null, email text not null, given jsonb not null
    )`
}

/** Writes rows to the staging table page by page. Memory is limited to one page. */
export class RowStage {
  /** The number of each page's last row. */
  readonly pageEnds: number[] = []
  readonly #session: ISql
  readonly #target: Target
  #rows: Row[] = []
  #characters = 0

  constructor(session: ISql, target: Target) {
    this.#session = session
    this.#target = target
  }

  async add(row: Row): Promise<void> {
    this.#rows.push(row)
    this.#characters += row.text.length
    if (this.#rows.length >= PAGE_ROWS || this.#characters >= PAGE_CHARACTERS) await this.flush()
  }

  async flush(): Promise<void> {
    const rows = this.#rows
    const last = rows.at(-1)
    if (!last) return
    await insertStagedRows(this.#session, this.#target, rows)
    this.pageEnds.push(last.n)
    this.#rows = []
    this.#characters = 0
  }
}

/** Stores the rows as jsonb, with every digit. A row without an id gets one that follows the order of the rows. */
async function insertStagedRows(session: ISql, { poolId, userIdPrefix }: Target, rows: Row[]): Promise<void> {
  const numbers = rows.map(({ n }) => n)
  const texts = `[${rows.map(({ text }) => text).join(',')}]`
  await session`
    insert into staged_rows (n, pool_id, has_id, id, username, email, given)
    select r.n, ${poolId}, r.given ? 'id',
      coalesce((r.given->>'id')::uuid, (${userIdPrefix}::text || lpad(to_hex(r.n), 8, '0'))::uuid),
      r.given->>'username', coalesce(r.given->>'email', r.given->>'username'), r.given
    from rows from (unnest(${numbers}::int[]), jsonb_array_elements(${texts}::jsonb)) as r (n, given)`
}
