import { type Batch, type components, UsersyncError } from '../client/index.ts'
import { type Call, clientCommand, type Options } from './command.ts'
import { DONE, FAILED } from './exit-codes.ts'
import { ifAllowed } from './faults.ts'
import { jsonLines } from './listing.ts'
import { facts, table } from './table.ts'
import { statusTable } from './targets.ts'

/** `usersync status`. */
export const status = clientCommand({
  summary: 'shows health, pools, batches in work, leases and targets',
  details: 'What the key has no scope for is left out. Exit code 1: the service is not ready.',
  examples: ['usersync status', 'usersync status --json | jq .health.status'],
  async run(call) {
    const { client, connection, program, url, json, print } = call
    const options = { signal: program.stop }
    const version = await connection.version(program.stop)
    const health = await readHealth(call)
    const pools = await ifAllowed(client.request('listPools', { ...options, query: { limit: 1000 } }))
    const batches = await ifAllowed(batchesInWork(call))
    const leases = await ifAllowed(client.request('getLeaseStats', options))
    const targets = await ifAllowed(client.request('getSyncStatus', options))
    const names = pools?.items.map(({ name }) => name)
    if (json) {
      const found = { url, version, health, pools: names, batches, leases, targets: targets?.items }
      await print(jsonLines([found]))
    } else {
      const service = `${url}, usersync ${version}`
      const overview = {
        ...{ service, health: healthText(health) },
        ...(pools && { pools: pools.items.map(({ name }) => name).join(' ') }),
        ...(leases && { leases: leaseText(leases) }),
      }
      await print(facts(overview))
      if (batches?.length) await print(`\n${batchTable(batches)}`)
      if (targets?.items.length) await print(`\n${statusTable(targets.items)}`)
    }
    return health.status === 'ready' ? DONE : FAILED
  },
})

interface Health {
  status: 'ready' | 'not_ready'
  reasons: string[]
  warnings?: string[]
}

/** Not ready is 503, whose body is no problem. */
async function readHealth({ client, program }: Call<Options>): Promise<Health> {
  try {
    return await client.request('getHealth', { signal: program.stop, attempts: 1 })
  } catch (error) {
    if (error instanceof UsersyncError && error.status === 503) return { status: 'not_ready', reasons: [] }
    throw error
  }
}

const leaseText = ({ free, leased, dirty, consumed }: components['schemas']['LeaseStats']) =>
  `${free} free, ${leased} leased, ${dirty} dirty, ${consumed} consumed`

const healthText = ({ status, reasons, warnings = [] }: Health) => [status, ...reasons, ...warnings].join(', ')

async function batchesInWork({ client, program }: Call<Options>): Promise<Batch[]> {
  const found: Batch[] = []
  for (const status of ['running', 'queued'] as const)
    for await (const batch of client.batches.list({ status }, { signal: program.stop })) found.push(batch)
  return found
}

const batchTable = (batches: Batch[]) =>
  table(
    ['batch', 'status', 'created', 'of', 'label'],
    batches.map((batch) => [batch.id, batch.status, batch.created_count, batch.total_requested, batch.label]),
  )
