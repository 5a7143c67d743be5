import { setTimeout as sleep } from 'node:timers/promises'
import type { ExportHead } from '../../src/protocol/read-export.ts'
import { applyExport, type Held } from '../export/apply-export.ts'
import { NOTHING } from '../export/observe.ts'
import type { Service } from '../http/service.ts'
import { scrape } from '../metrics/scrape.ts'

type Caller = Pick<Service, 'call'>

/** A client that keeps its users in step. Each response must apply to what it holds, and lead to the state that it names. */
export function createClient({ call }: Caller, query = '') {
  let held: Held = NOTHING
  return {
    held: () => held,
    /** Exports, applies the response, and returns its head; undefined for a 304. */
    async follow(): Promise<ExportHead | undefined> {
      const headers = held.state === undefined ? {} : { 'if-none-match': `W/"${held.state}"` }
      const { status, raw } = await call('GET', `/v1/users/export?format=ndjson${query}`, { headers })
      if (status === 304) return undefined
      if (status !== 200) throw new Error(`the export answers ${status}: ${raw.toString().slice(0, 300)}`)
      const applied = applyExport(held, raw.toString())
      held = applied.held
      return applied.head
    },
  }
}

/** Runs `work`, and returns which servers the snapshots came from meanwhile. */
export async function serversOf(
  service: Caller,
  work: () => Promise<unknown>,
): Promise<{ standby: number; primary: number }> {
  const counts = async () => {
    const now = await scrape(service)
    const of = (server: string) => now.value(`usersync_export_snapshot_wait_seconds_count{server="${server}"}`)
    return { standby: of('standby'), primary: of('primary') }
  }
  const before = await counts()
  await work()
  const after = await counts()
  return { standby: after.standby - before.standby, primary: after.primary - before.primary }
}

/** Waits until the first standby has this status in the health detail, at most 30 s. Returns the last one. */
export async function untilStatus({ call }: Caller, wanted: string | RegExp): Promise<string | undefined> {
  for (const deadline = Date.now() + 30_000; ; await sleep(20)) {
    const { json } = await call<{ standbys: { status: string }[] }>('GET', '/healthz')
    const status = json.standbys[0]?.status
    if (status?.match(wanted) || Date.now() > deadline) return status
  }
}

/** Calls `work` until it makes the first standby fail in this way, at most 30 s. Returns whether it did. */
export async function untilFailed(service: Caller, failure: string, work: () => Promise<unknown>): Promise<boolean> {
  const count = async () =>
    (await scrape(service)).value(`usersync_standby_failures_total{standby="1",failure="${failure}"}`)
  const before = await count()
  for (const deadline = Date.now() + 30_000; Date.now() < deadline; ) {
    await work()
    if ((await count()) > before) return true
  }
  return false
}
