import { type Batch, type NewBatch, UsersyncError } from '../client/index.ts'
import { UsageError } from '../src/client/service-options.ts'
import { type Call, clientCommand, type Options } from './command.ts'
import { confirmed } from './confirm.ts'
import { DONE, FAILED } from './exit-codes.ts'
import { ifAllowed } from './faults.ts'
import { countOf, readJsonFile } from './input.ts'
import { firstItems, jsonLines, limitOption } from './listing.ts'
import { facts, grouped, table, users } from './table.ts'

type AnyCall = Call<Options>

const DETACH = { description: 'do not wait for the end' } as const

/** `usersync batch create`. */
export const createBatch = clientCommand({
  summary: 'creates test users in bulk, and waits until they exist',
  args: { COUNT: 'how many users' },
  members: { count: 'COUNT', 'config.seed': '--seed', 'config.epoch': '--epoch' },
  options: {
    template: { value: 'NAME', description: 'the template with the initial settings' },
    label: { value: 'TEXT', description: 'a label, to find the batch again' },
    config: {
      value: 'FILE',
      isFile: true,
      description: 'a JSON file with further settings, as the member config of POST /v1/batches; - is stdin',
    },
    'expires-in': { value: 'SECONDS', description: 'delete the users after this time' },
    seed: { value: 'TEXT', description: 'create the same users as every batch with this seed' },
    epoch: { value: 'TIME', description: 'with --seed: also the same ids and times, on any server' },
    'idempotency-key': { value: 'KEY', description: 'a repetition with this key returns the same batch' },
    detach: DETACH,
  },
  examples: [
    'usersync batch create 1000 --label "checkout test"',
    'usersync batch create 500 --expires-in 3600 --config settings.json',
    'usersync batch create 100000 --detach --json | jq -r .id',
  ],
  async run(call) {
    const { values, client, program } = call
    const { seed, epoch, label, template, 'expires-in': expiresIn } = values
    const config = values.config === undefined ? {} : await readJsonFile(program, '--config', values.config)
    const body = {
      count: countOf('COUNT', call.args[0] ?? ''),
      ...(label !== undefined && { label }),
      ...(template !== undefined && { template }),
      ...(expiresIn !== undefined && { expires_in: countOf('--expires-in', expiresIn) }),
      config: { ...config, ...(seed !== undefined && { seed }), ...(epoch !== undefined && { epoch }) },
    } as NewBatch
    call.goesOn('The service may have created the batch: see `usersync batch list`.')
    const idempotencyKey = values['idempotency-key']
    const batch = await client.batches.create(body, {
      signal: program.stop,
      ...(idempotencyKey !== undefined && { idempotencyKey }),
    })
    return values.detach ? await printed(call, batch) : await watched(call, batch.id)
  },
})

/** `usersync batch watch`. */
export const watchBatch = clientCommand({
  summary: 'waits for the end of a batch, and shows its progress',
  args: { ID: 'the batch' },
  members: { id: 'ID' },
  details:
    'The progress is drawn on stderr, if that is a terminal. The exit code is 1 if the batch failed, in whole or in part.',
  examples: ['usersync batch watch 01939c3e-0a5b-7cc0-8000-000000000000'],
  run: (call) => watched(call, call.args[0] ?? ''),
})

/** `usersync batch list`. */
export const listBatches = clientCommand({
  summary: 'lists batches, newest id first',
  options: {
    status: {
      value: 'STATUS',
      choices: ['queued', 'running', 'completed', 'completed_with_failures', 'cancelled', 'failed'],
      description: 'queued, running, completed, completed_with_failures, cancelled or failed',
    },
    limit: limitOption('batches'),
  },
  examples: ['usersync batch list --status running', 'usersync batch list --json | jq -r .id'],
  async run(call) {
    const { values, client, program, json } = call
    const status = values.status && { status: values.status as Batch['status'] }
    const found = await firstItems(values.limit, (page) =>
      client.request('listBatches', { query: { ...page, ...status }, signal: program.stop }),
    )
    const rows = found.map((batch) => [
      batch.id,
      batch.removed_at === null ? batch.status : 'removed',
      batch.created_count,
      batch.user_count,
      batch.created_at,
      batch.label,
    ])
    const heads = ['id', 'status', 'users', 'left', 'created', 'label'] // as on the page
    await call.print(json ? jsonLines(found) : table(heads, rows))
    return DONE
  },
})

/** `usersync batch cancel`. */
export const cancelBatch = clientCommand({
  summary: 'stops a batch; the users that it has created remain',
  args: { ID: 'the batch' },
  members: { id: 'ID' },
  examples: ['usersync batch cancel 01939c3e-0a5b-7cc0-8000-000000000000'],
  async run(call) {
    call.goesOn('The service may have cancelled the batch: see `usersync batch list`.')
    const batch = await call.client.batches.cancel(call.args[0] ?? '', { signal: call.program.stop })
    await print(call, batch)
    return DONE
  },
})

/** `usersync batch delete`. */
export const deleteBatch = clientCommand({
  summary: 'deletes the users of a batch',
  args: { ID: 'the batch' },
  members: { id: 'ID' },
  details: 'Says how many users it deletes, and has that number typed. May be repeated.',
  options: { yes: { description: 'do not ask; required if stdin is no terminal' } },
  examples: ['usersync batch delete 01939c3e-0a5b-7cc0-8000-000000000000 --yes'],
  async run(call) {
    const { client, program, json, values } = call
    const [id = ''] = call.args
    const options = { signal: program.stop }
    if (!values.yes) {
      const { user_count: count, label } = await client.batches.get(id, options)
      const leases = await ifAllowed(client.request('getLeaseStats', { query: { batch_id: id }, ...options }))
      const lost = leases?.leased ? ` Leased now: ${grouped(leases.leased)}. The holders of leases lose them.` : ''
      const what = `This deletes the ${users(count)} of batch ${id}${label === null ? '' : ` (${label})`}.${lost}`
      if (!(await confirmed(program, what, count)))
        throw new UsageError('batch delete: not confirmed, nothing is deleted')
    }
    call.goesOn('The service may have deleted the users: repeat the command to see.')
    const deleted = await client.batches.delete(id, options)
    await call.print(json ? jsonLines([deleted]) : facts(deleted))
    return DONE
  },
})

/** Shows the progress of a batch until its end, prints the batch, and returns the exit code. */
async function watched(call: AnyCall, id: string): Promise<number> {
  const { client, program } = call
  let last: Batch | undefined
  call.goesOn(`Batch ${id} goes on at the service: \`usersync batch watch ${id}\`, or \`cancel\` instead of \`watch\`.`)
  for await (const batch of client.batches.watch(id, { signal: program.stop })) {
    last = batch
    call.progress(progressText(batch))
  }
  call.goesOn(undefined)
  if (!last) throw new UsersyncError('timeout', `batch ${id} sent no events`)
  return await printed(call, last)
}

function progressText({ status, created_count, total_requested, progress, eta_seconds }: Batch): string {
  const left = eta_seconds === null ? '' : `, ${Math.ceil(eta_seconds)} s left`
  return `${status}, ${grouped(created_count)} of ${users(total_requested)} (${Math.floor(100 * progress)} %)${left}`
}

/** Prints a batch, and on stderr what went wrong. Returns the exit code that its status means. */
export async function printed(call: AnyCall, batch: Batch): Promise<number> {
  await print(call, batch)
  const { status, total_requested, created_count, failed_count } = batch
  if (!['completed_with_failures', 'cancelled', 'failed'].includes(status)) return DONE
  const made = `${grouped(created_count)} of ${users(total_requested)} created`
  call.note(`usersync: the batch is ${status}: ${made}, ${grouped(failed_count)} failed`)
  return FAILED
}

async function print(call: AnyCall, batch: Batch): Promise<void> {
  const { id, label, status, total_requested, created_count, failed_count, expires_at, profile, last_error } = batch
  const { updated_count, skipped_count } = batch
  const shown = {
    ...{ id, label, status, total_requested, created_count, failed_count },
    ...(updated_count !== undefined && { updated_count, skipped_count }),
    ...{ expires_at, duration_ms: profile.duration_ms },
    ...(last_error && { last_error: `${last_error.code}: ${last_error.detail}` }),
  }
  await call.print(call.json ? jsonLines([batch]) : facts(shown))
}
