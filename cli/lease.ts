import type { components, NewLease } from '../client/index.ts'
import { clientCommand } from './command.ts'
import { DONE } from './exit-codes.ts'
import { countOf } from './input.ts'
import { firstItems, jsonLines, limitOption } from './listing.ts'
import { facts, table } from './table.ts'

type LeaseReturn = components['schemas']['LeaseReturn']

const OUTCOMES = ['clean', 'dirty', 'consumed'] as const

/** `usersync lease take`. */
export const takeLease = clientCommand({
  summary: 'takes users that nobody else gets until they are returned',
  args: { '[COUNT]': 'how many (default: 1)' },
  members: {
    ...{ count: 'COUNT', ttl_seconds: '--ttl', wait_seconds: '--wait' },
    ...{ 'filter.batch_id': '--batch', 'filter.role': '--role' },
  },
  options: {
    owner: { value: 'TEXT', description: 'who takes them, for the list of leases' },
    ttl: { value: 'SECONDS', description: 'the lease ends after this time' },
    batch: { value: 'ID', description: 'only users of this batch' },
    role: { value: 'ROLE', description: 'only users with this role' },
    order: {
      value: 'ORDER',
      choices: ['least_used', 'random', 'sequence'],
      description: 'least_used, random or sequence (default: least_used)',
    },
    include: { value: 'LIST', description: 'password, password_hash, totp_secret, totp_code; any, with commas' },
    partial: { description: 'take fewer if there are not COUNT' },
    wait: { value: 'SECONDS', description: 'wait for users, at most 30 s' },
  },
  details: 'Exit code 3: too few users are free.',
  examples: [
    'usersync lease take 10 --ttl 600 --include password --json',
    'usersync lease take --wait 30 --owner "smoke test"',
  ],
  async run(call) {
    const { values, client, program, json } = call
    const filter = {
      ...(values.batch !== undefined && { batch_id: values.batch }),
      ...(values.role !== undefined && { role: values.role }),
    }
    const body = {
      count: countOf('COUNT', call.args[0] ?? '1'),
      ...(values.owner !== undefined && { owner: values.owner }),
      ...(values.ttl !== undefined && { ttl_seconds: countOf('--ttl', values.ttl) }),
      ...(values.order !== undefined && { order: values.order }),
      ...(values.include !== undefined && { include: values.include.split(',') }),
      ...(values.partial && { partial: true }),
      ...(values.wait !== undefined && { wait_seconds: countOf('--wait', values.wait) }),
      ...(Object.keys(filter).length > 0 && { filter }),
    } as NewLease
    call.goesOn('A lease that the service granted meanwhile ends at its time: see `usersync lease list`.')
    const lease = await client.request('createLease', { body, signal: program.stop, timeoutMs: 60_000 })
    const { id, fence, expires_at, users } = lease
    const names = [...new Set(users.flatMap((user) => Object.keys(user)))]
    const heads = ['id', 'username', 'email', ...names.filter((name) => /^(password|totp)/.test(name))]
    const rows = users.map((user) => heads.map((name) => (user as Record<string, unknown>)[name]))
    await call.print(json ? jsonLines([lease]) : `${facts({ lease: id, fence, expires_at })}\n${table(heads, rows)}`)
    return DONE
  },
})

/** `usersync lease return`. */
export const returnLease = clientCommand({
  summary: 'returns the users of a lease',
  args: { LEASE: 'the id of the lease', '[USER]...': 'ids of users: only these (default: all, which ends the lease)' },
  members: { id: 'LEASE', users: 'USER' },
  options: {
    fence: { value: 'N', description: 'the fence of the lease, from lease take; required' },
    outcome: {
      value: 'O',
      choices: OUTCOMES,
      description: 'clean: free again (default); dirty: free after a reset; consumed: used up',
    },
  },
  details: 'May be repeated.',
  examples: ['usersync lease return 01939c3e-0a5b-7cc0-8000-000000000000 --fence 7'],
  async run(call) {
    const { values, client, program, json } = call
    const [id = '', ...ids] = call.args
    const fence = countOf('--fence', values.fence ?? '')
    const outcome = (values.outcome ?? 'clean') as (typeof OUTCOMES)[number]
    const body: LeaseReturn =
      ids.length === 0 ? { fence, outcome } : { fence, users: ids.map((id) => ({ id, outcome })) }
    call.goesOn('The service may have taken the users back: repeat the command to see.')
    const returned = await client.request('returnLease', { path: { id }, body, signal: program.stop })
    await call.print(json ? jsonLines([returned]) : facts(returned))
    return DONE
  },
})

/** `usersync lease list`. */
export const listLeases = clientCommand({
  summary: 'lists leases, newest first',
  options: {
    all: { description: 'also leases that are over' },
    limit: limitOption('leases'),
  },
  examples: ['usersync lease list', 'usersync lease list --all --limit 10 --json'],
  async run(call) {
    const { values, client, program, json } = call
    const active = !values.all && { active: true }
    const found = await firstItems(values.limit, (page) =>
      client.request('listLeases', { query: { ...page, ...active }, signal: program.stop }),
    )
    const rows = found.map((lease) => [
      lease.id,
      lease.fence,
      lease.status,
      lease.user_count,
      lease.expires_at,
      lease.owner,
    ])
    const heads = ['lease', 'fence', 'status', 'users', 'expires', 'owner']
    await call.print(json ? jsonLines(found) : table(heads, rows))
    return DONE
  },
})
