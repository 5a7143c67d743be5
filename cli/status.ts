import type { Batch, components } from '../client/index.ts'
import { itemsOf } from '../client/pages.ts'
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
    const version = await connection.version(program.stop)
    const health = await client.request('getHealth', { signal: program.stop, attempts: 1 })
    const { pools, batches, leases, targets } = health.reasons.includes('database') ? NOTHING : await readRest(call)
    if (json) {
      const found = { url, version, health, pools, batches, leases, targets: targets?.items }
      await print(jsonLines([found]))
    } else {
      const service = `${url}, usersync ${version}`
      const overview = {
        ...{ service, health: healthText(health) },
        ...(pools && { pools: pools.join(' ') }),
        ...(leases && { leases: leaseText(leases) }),
      }
      await print(facts(overview))
      if (batches?.length) await print(`\n${batchTable(batches)}`)
      if (targets?.items.length) await print(`\n${statusTable(targets.items)}`)
    }
    return health.status === 'ready' ? DONE : FAILED
  },
})

/** Returns what the key may see of the data of the service. */
async function readRest(call: Call<Options>) {
  const { client, program } = call
  const options = { signal: program.stop }
  return {
    pools: await ifAllowed(poolNames(call)),
    batches: await ifAllowed(batchesInWork(call)),
    leases: await ifAllowed(client.request('getLeaseStats', options)),
    targets: await ifAllowed(client.request('getSyncStatus', options)),
  }
}

/** What a service without its database can say of its data. */
const NOTHING: Partial<Awaited<ReturnType<typeof readRest>>> = {}

const leaseText = ({ free, leased, dirty, consumed }: components['schemas']['LeaseStats']) =>
  `${free} free, ${leased} leased, ${dirty} dirty, ${consumed} consumed`

/** The reasons and warnings of `/healthz`. */
const MEANINGS = new Map([
  ['database', 'does not answer'],
  ['draining', 'the service is shutting down'],
  ['memory', 'above its limit, new work is refused'],
])

function healthText({ status, reasons, warnings = [] }: components['schemas']['Readiness']): string {
  const named = [...reasons, ...warnings].map((name) => (MEANINGS.has(name) ? `${name} (${MEANINGS.get(name)})` : name))
  return [status, ...named].join(', ')
}

async function poolNames({ client, program }: Call<Options>): Promise<string[]> {
  const names: string[] = []
  const read = (cursor: { cursor?: string }) =>
    client.request('listPools', { query: { limit: 1000, ...cursor }, signal: program.stop })
  for await (const { name } of itemsOf(read)) names.push(name)
  return names
}

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
