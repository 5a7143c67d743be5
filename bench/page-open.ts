import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Browser, CDPSession, Page } from 'playwright-core'
import type { Batch } from '../src/batches/batches.ts'
import { median, ratioOf } from './bench-rounds.ts'
import type { Surroundings } from './bench-surroundings.ts'
import { openFresh, showView, VIEWS } from './page-browser.ts'
import { count, mebibytes, type Row } from './report-table.ts'

/** How long each view stays open: some reads of its live figures. */
const STAY_MS = 2_500

/** Users of a batch that runs while its view is open. */
const BATCH_USERS = 20_000

/** Connections at the service's port beside those of the tab: the client of the benchmark, and the target that is the service itself. */
const OTHER_CONNECTIONS = 2

/** What the tab and the service have after a round through all views. */
interface Sample {
  minutes: number
  heapBytes: number
  nodes: number
  listeners: number
  /** While the overview is open. */
  connections: number
}

/**
 * Keeps the page open and goes round all views and details, each time with a new batch in progress and leases that come and go. Samples the
 * tab after each round, after a garbage collection. At the end the tab closes, which closes its connections.
 */
export async function keepOpen(surroundings: Surroundings, browser: Browser, minutes: number) {
  const samples: Sample[] = []
  const { page } = await openFresh(browser, surroundings.address)
  const session = await page.context().newCDPSession(page)
  await session.send('Performance.enable')
  const began = performance.now()
  const passed = () => (performance.now() - began) / 60_000
  while (passed() < minutes || samples.length < 4) {
    await goRound(surroundings, page, samples.length)
    const sample = { minutes: passed(), ...(await sampleOf(session)), connections: connectionsTo(surroundings.address) }
    samples.push(sample)
    surroundings.progress(`page open: ${JSON.stringify(sample)}`)
  }
  await page.context().close()
  for (let waits = 0; waits < 50 && connectionsTo(surroundings.address) > 0; waits++) await sleep(100)
  return { samples, connectionsAfter: connectionsTo(surroundings.address) }
}

/** Shows each view, a batch from its start to its end, and the details of what the lists have first. Ends at the overview. */
async function goRound({ client, within }: Surroundings, page: Page, round: number): Promise<void> {
  const json = { count: BATCH_USERS, config: { password_hash: { algorithm: 'none' } }, label: `round ${round}` }
  const { id } = (await within(60, 'batch', (signal) =>
    client.send('/v1/batches', { method: 'POST', json, signal }),
  )) as Batch
  await showAddress(page, `batches/${id}`, '.figures')
  const lease = { owner: `round ${round}`, count: 5, ttl_seconds: 30 }
  const headers = { prefer: 'wait=30' }
  await within(60, 'lease', (signal) => client.send('/v1/leases', { method: 'POST', headers, json: lease, signal }))
  for (const view of VIEWS) {
    await showView(page, view)
    await sleep(STAY_MS)
    const detail = await page.evaluate<string | undefined>(
      `document.querySelector('main tbody a[href^="#/${view}/"]')?.getAttribute('href')`,
    )
    if (detail) await showAddress(page, detail.slice(2), '.heading, textarea')
  }
}

async function showAddress(page: Page, address: string, shown: string): Promise<void> {
  await page.evaluate(`location.hash = ${JSON.stringify(`#/${address}`)}`)
  await page.locator(`main :is(${shown})`).first().waitFor()
  await sleep(STAY_MS)
}

async function sampleOf(session: CDPSession): Promise<Pick<Sample, 'heapBytes' | 'nodes' | 'listeners'>> {
  await session.send('HeapProfiler.collectGarbage')
  const { metrics } = await session.send('Performance.getMetrics')
  const value = (name: string) => metrics.find((metric) => metric.name === name)?.value ?? Number.NaN
  return { heapBytes: value('JSHeapUsedSize'), nodes: value('Nodes'), listeners: value('JSEventListeners') }
}

/** The tab's established connections, from the kernel's own list (proc(5)). */
function connectionsTo(address: string): number {
  const port = Number(new URL(address).port).toString(16).toUpperCase().padStart(4, '0')
  const pattern = new RegExp(`^ *\\d+: [0-9A-F]+:${port} [0-9A-F]+:[0-9A-F]{4} 01 `, 'gm')
  return (readFileSync('/proc/net/tcp', 'utf8').match(pattern)?.length ?? 0) - OTHER_CONNECTIONS
}

/**
 * The last quarter of the samples beside the first. Without the first round: caches fill, and the browser keeps connections of its own for
 * the files, which it requests with credentials.
 */
export function openRows({ samples, connectionsAfter }: Awaited<ReturnType<typeof keepOpen>>): Row[] {
  const steady = samples.slice(1)
  const quarter = Math.max(1, Math.floor(steady.length / 4))
  const row = (name: 'heapBytes' | 'nodes' | 'listeners', text: (value: number) => string): Row => {
    const [first, last] = [steady.slice(0, quarter), steady.slice(-quarter)].map((part) =>
      median(part.map((each) => each[name])),
    )
    const ratio = ratioOf([last ?? Number.NaN], [first ?? Number.NaN])
    return {
      what: `tab open for ${Math.round(samples.at(-1)?.minutes ?? 0)} min: ${name}`,
      ratio,
      target: '≤ 1.1',
      measured: text(last ?? Number.NaN),
      yardstick: `its first quarter: ${text(first ?? Number.NaN)}`,
      met: (ratio ?? Infinity) <= 1.1,
    }
  }
  const most = Math.max(...steady.map(({ connections }) => connections))
  return [
    row('heapBytes', mebibytes),
    row('nodes', count),
    row('listeners', count),
    {
      what: 'connections of the tab',
      target: '≤ 6, none after it',
      measured: `${most}, ${connectionsAfter} after it`,
      met: most <= 6 && connectionsAfter <= 0,
    },
  ]
}
