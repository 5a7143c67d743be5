import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Sql } from 'postgres'
import type { Test } from 'tap'
import { openTransaction } from '../open-transaction.ts'
import type { Held } from './apply-export.ts'
import { FILTERS, runStep, runTransaction, transaction } from './history.ts'
import { expectedCounts, exportTo, makePool, NOTHING, stateFromScratch } from './observe.ts'

/*
 * The invariants of the state capture: the stored state is that of the rows, every base leads to the current state, and
 * no commit is missed. Each of these changes was tried, and fails a test here:
 * - migrations/0002_state_capture.sql: record only part_changes that do not add up to zero; leave out tombstones of
 * moves; keep entered_commit_id over a move; take the scopes' locks in the statement trigger and draw versions from a
 * sequence; leave out stamp_insert
 * - delta.ts: separate added from updated without the tombstones; take a tombstone whose stay began after the base
 */

/** Runs random histories of writers against the database of `sql`, `runs` of each kind. */
export async function testHistories(t: Test, sql: Sql, runs: number): Promise<void> {
  let pools = 0
  const nextPool = () => `history-${++pools}`

  await t.test(
    'the delta of every base leads exactly to the current state, and stored states match the rows',
    async (t) => {
      const histories = fc.assert(
        fc.asyncProperty(fc.array(transaction, { minLength: 2, maxLength: 9 }), async (history) => {
          const pool = nextPool()
          const poolId = await makePool(sql, pool)
          const bases = new Map(FILTERS.map((filter) => [filter, [] as Held[]]))
          for (const each of history) {
            await runTransaction(sql, poolId, each)
            for (const [filter, seen] of bases) {
              const { head, held } = await exportTo(sql, pool, filter, NOTHING)
              assert.equal(head.state, await stateFromScratch(sql, poolId, filter), 'stored state')
              seen.push(held)
            }
          }
          for (const [filter, seen] of bases) {
            const present = seen.at(-1) ?? NOTHING
            for (const base of seen) {
              const { head, held } = await exportTo(sql, pool, filter, base)
              assert.notEqual(head.kind, 'full', 'no base is unknown')
              assert.ok(isDeepEqual(held.lines, present.lines), 'the delta leads to the current state')
              const counts = expectedCounts(base, present)
              // A user that was touched without a change may be in `updated`; nothing else may be missing or extra.
              assert.equal(head.counts.added, counts.added, 'added')
              assert.equal(head.counts.deleted, counts.deleted, 'deleted')
              assert.ok(head.counts.updated >= counts.updated, 'updated')
            }
          }
        }),
        { numRuns: runs },
      )
      await t.resolves(histories)
    },
  )

  await t.test('with two interleaved writers, every base seen by a reader leads to the current state', async (t) => {
    const writers = fc.tuple(
      fc.array(transaction, { minLength: 2, maxLength: 3 }),
      fc.array(transaction, { minLength: 2, maxLength: 3 }),
    )
    const histories = fc.assert(
      fc.asyncProperty(writers, fc.infiniteStream(fc.boolean()), async (bothWriters, turns) => {
        const pool = nextPool()
        const poolId = await makePool(sql, pool)
        const connections = [await sql.reserve(), await sql.reserve()]
        const seen: Held[] = []
        const filter = { batchId: undefined, testUsersOnly: true, bulkUsersOnly: false }
        try {
          const statements = bothWriters.map((history, writer) =>
            history.flatMap(({ steps, commit }) => [
              async () => void (await connections[writer]?.unsafe('begin')),
              ...steps.map(
                ({ step }) =>
                  () =>
                    runStep(connections[writer] as never, poolId, step, 'ab'[writer]),
              ),
              async () => void (await connections[writer]?.unsafe(commit ? 'commit' : 'rollback')),
            ]),
          )
          while (statements.some((left) => left.length > 0)) {
            const first = turns.next().value ? 0 : 1
            const statement = statements[first]?.shift() ?? statements[1 - first]?.shift()
            await statement?.()
            const { held } = await exportTo(sql, pool, filter, seen.at(-1) ?? NOTHING)
            seen.push(held)
          }
        } finally {
          for (const connection of connections) connection.release()
        }
        const { held: present } = await exportTo(sql, pool, filter, NOTHING)
        assert.equal(present.state, await stateFromScratch(sql, poolId, filter))
        for (const base of seen) {
          const { head, held } = await exportTo(sql, pool, filter, base)
          assert.notEqual(head.kind, 'full', 'no base is unknown')
          assert.ok(isDeepEqual(held.lines, present.lines), 'the delta leads to the current state')
        }
      }),
      { numRuns: runs },
    )
    await t.resolves(histories)
  })

  await t.test('a commit that got its id early and commits late is in the next delta', async (t) => {
    const pool = nextPool()
    const poolId = await makePool(sql, pool)
    const filter = { batchId: undefined, testUsersOnly: true, bulkUsersOnly: false }
    const insert = (n: number) => ({ do: 'insert', user: n, batch: null, test: true, bulk: true }) as const
    const early = await openTransaction(t, sql)
    await runStep(early, poolId, insert(1))
    await runStep(sql, poolId, insert(2))
    const { held } = await exportTo(sql, pool, filter, NOTHING)
    t.equal(held.lines.size, 1, 'only committed rows')
    await early.commit()
    const { head } = await exportTo(sql, pool, filter, held)
    t.match(head, { kind: 'delta', counts: { added: 1, updated: 0, deleted: 0 } })
  })
}

const isDeepEqual = (a: Map<string, string>, b: Map<string, string>) =>
  a.size === b.size && [...a].every(([id, line]) => b.get(id) === line)
