import { setTimeout as sleep } from 'node:timers/promises'
import type { components } from '../client/index.ts'
import { type Call, clientCommand, type Options } from './command.ts'
import { DONE, FAILED, MISMATCH } from './exit-codes.ts'
import { ifAllowed } from './faults.ts'
import { jsonLines } from './listing.ts'
import { facts, table, users } from './table.ts'

type SyncRun = components['schemas']['SyncRun']

/** A comparison reads all users on both sides, and a dry run all on ours. */
const PATIENCE = { timeoutMs: 3_600_000, deadlineMs: 3_600_000 }

const POLL_MS = 500

/** `usersync targets list`. */
export const listTargets = clientCommand({
  summary: 'lists targets, and whether they are in step',
  examples: ['usersync targets list', 'usersync targets list --json | jq -r "select(.in_step | not).target"'],
  async run(call) {
    call.progress('comparing the states of the targets')
    const { items } = await call.client.request('getSyncStatus', { signal: call.program.stop })
    await call.print(call.json ? jsonLines(items) : statusTable(items))
    return DONE
  },
})

/** Returns a table of targets. */
export const statusTable = (items: components['schemas']['TargetStatus'][]) =>
  table(
    ['target', 'in step', 'last run', 'failure'],
    items.map(({ target, in_step, last_run, remote_failure }) => [
      ...[target, in_step ? 'yes' : 'no', last_run?.status],
      last_run?.detail ?? last_run?.failure ?? remote_failure,
    ]),
  )

/** `usersync targets sync`. */
export const syncTarget = clientCommand({
  summary: 'brings a target in step, and waits for the end of the run',
  args: { NAME: 'the target' },
  members: { target: 'NAME' },
  options: {
    full: { description: 'send all users, whatever the target has' },
    'dry-run': { description: 'send nothing; print what would be sent' },
    detach: { description: 'do not wait for the end' },
  },
  examples: ['usersync targets sync tester', 'usersync targets sync tester --dry-run'],
  async run(call) {
    const { values, client, program, json } = call
    const [target = ''] = call.args
    const dryRun = values['dry-run'] === true
    const body = { target, ...(values.full && { full: true }), ...(dryRun && { dry_run: true }) }
    if (!dryRun) await warnOfReplica(call, target)
    call.goesOn('The service may have started a run: see `usersync targets list`.')
    const started = await client.request('createSyncRun', { body, signal: program.stop, ...PATIENCE })
    if ('dry_run' in started) {
      const { users: _, ...counts } = started
      await call.print(json ? jsonLines([started]) : facts(counts))
      return DONE
    }
    const run = values.detach ? started : await ended(call, started)
    const { id, status, kind, added_count, updated_count, deleted_count, sent_count, failure, detail, duration_ms } =
      run
    const shown = { id, target, status, kind, added_count, updated_count, deleted_count, sent_count, duration_ms }
    await call.print(json ? jsonLines([run]) : facts(failure === null ? shown : { ...shown, failure, detail }))
    if (status !== 'failed') return DONE
    call.note(`usersync: the run failed: ${failure}, ${detail}`)
    return FAILED
  },
})

/** The pool of a target may become what its owner does not expect. */
async function warnOfReplica({ client, program, note }: Call<Options>, target: string): Promise<void> {
  const status = await ifAllowed(client.request('getSyncStatus', { query: { target }, signal: program.stop }))
  if (status?.items[0]?.becomes_replica)
    note(
      'warning: this run makes the pool there, which is empty, a replica of everything: it takes users from here only',
    )
}

async function ended(call: Call<Options>, run: SyncRun): Promise<SyncRun> {
  call.goesOn(`Run ${run.id} goes on at the service: see \`usersync targets list\`.`)
  const { stop } = call.program
  for (let now = run; ; ) {
    if (now.finished_at !== null) return now
    call.progress(`${now.status}, ${users(now.sent_count)} sent, ${now.deleted_count} deleted`)
    await sleep(POLL_MS, undefined, { signal: stop })
    now = await call.client.request('getSyncRun', { path: { id: run.id }, signal: stop })
  }
}

/** `usersync targets verify`. */
export const verifyTarget = clientCommand({
  summary: 'compares all users of a target with those of the service',
  args: { NAME: 'the target' },
  members: { target: 'NAME' },
  details: 'Exit code 6: they differ.',
  examples: ['usersync targets verify tester'],
  async run(call) {
    const { client, program, json } = call
    call.progress('comparing all users')
    const body = { target: call.args[0] ?? '' }
    const found = await client.request('verifyTarget', { body, signal: program.stop, ...PATIENCE })
    const { target, in_step, local, remote, missing, extra, changed } = found
    const shown = {
      ...{ target, in_step, local: users(local.total_count), remote: users(remote.total_count) },
      ...{ missing: missing.count, extra: extra.count, changed: changed.count },
    }
    await call.print(json ? jsonLines([found]) : facts(shown))
    return in_step ? DONE : MISMATCH
  },
})
