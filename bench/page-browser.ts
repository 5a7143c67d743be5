import { type Browser, chromium, type Page } from 'playwright-core'
import { CHROMIUM } from '../test/page/chromium.ts'

/** The views by their names in the address, in the order of measurement. */
export const VIEWS = [
  'make',
  'batches',
  'users',
  'targets',
  'leases',
  'lifecycle',
  'templates',
  'audit',
  'overview',
] as const

/** What a view took from the click on its link, or the page from its first byte. */
export interface Shown {
  /** Until its first row, or its first figure, was on the screen. */
  firstMs: number
  /** Until nothing in it was still to come. */
  allMs: number
  /** Requests until then, and their bytes with headers. */
  requests: number
  bytes: number
}

/** Throws an Error if there is no browser. */
export function startBrowser(): Promise<Browser> {
  if (CHROMIUM === undefined) throw new Error('no chromium on this machine: apt-get install chromium-headless-shell')
  return chromium.launch({
    executablePath: CHROMIUM,
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
  })
}

/** Opens the start of the page in a tab with an empty cache. */
export async function openFresh(browser: Browser, address: string): Promise<{ page: Page; shown: Shown }> {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } })
  const page = await context.newPage()
  await page.addInitScript(WATCH)
  await page.goto(`${address}/ui/`, { waitUntil: 'commit' })
  return { page, shown: await page.evaluate<Shown>('watchView(() => {}, 0)') }
}

/** Clicks the link of a view in the side bar. The tab must show another view. */
export async function showView(page: Page, view: string): Promise<Shown> {
  return await page.evaluate<Shown>(
    `watchView(() => document.querySelector('.side a[href^="#/${view}"]').click(), performance.now())`,
  )
}

/** Runs in the tab, so that the way to it is not measured. `…` and .loading are what is still to come. */
const WATCH = `
  const inMain = (selector) => [...(document.querySelector('main')?.querySelectorAll(selector) ?? [])]
  globalThis.watchView = (start, startedAt) => new Promise((resolve, reject) => {
    const old = new Set(inMain('tbody tr, .empty, .tile .value'))
    if (startedAt > 0) performance.clearResourceTimings()
    start()
    let firstMs
    const look = () => {
      const now = performance.now()
      if (now - startedAt > 20_000) return reject(new Error('no rows after 20 s in ' + location.hash))
      const rows = inMain('tbody tr, .empty, .tile .value').filter((each) => !old.has(each) && each.textContent !== '…')
      if (rows.length > 0) firstMs ??= now - startedAt
      const isToCome = inMain('.loading, .tile .value').some((each) => !each.matches('.tile .value') || each.textContent === '…')
      if (firstMs === undefined || isToCome) return requestAnimationFrame(look)
      const loaded = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
        .filter(({ startTime, entryType }) => entryType === 'resource' || startedAt === 0)
      const bytes = loaded.reduce((sum, { transferSize }) => sum + transferSize, 0)
      resolve({ firstMs, allMs: now - startedAt, requests: loaded.length, bytes })
    }
    look()
  })`
