import { setTimeout as sleep } from 'node:timers/promises'
import type { Browser } from 'playwright-core'
import { median } from './bench-rounds.ts'
import type { Surroundings } from './bench-surroundings.ts'
import { openFresh, type Shown, showView, startBrowser, VIEWS } from './page-browser.ts'
import { fillPages } from './page-fill.ts'
import { keepOpen, openRows } from './page-open.ts'
import type { Section } from './report-section.ts'
import { count, milliseconds, type Row } from './report-table.ts'

const VIEW_MS = 300
const FRESH = { ms: 1_000, bytes: 150_000 }

/** How long the operator's page takes to show each view of a pool with `--users` users and 10,000 batches, and what a tab keeps. */
export const operatorsPage: Section = {
  name: 'page',
  async measure(surroundings) {
    const { minutes } = surroundings.options
    await fillPages(surroundings)
    const browser = await startBrowser()
    try {
      const views = await measureViews(surroundings, browser)
      const open = await keepOpen(surroundings, browser, minutes)
      return { rows: [...Object.entries(views).map(viewRow), ...openRows(open)], raw: { unit: 'ms', views, open } }
    } finally {
      await browser.close()
    }
  },
}

/** The figures of each view, by round. Each round has a browser cache of its own. */
async function measureViews({ options, address, progress }: Surroundings, browser: Browser) {
  const figures: Record<string, Shown[]> = { fresh: [] }
  for (let round = 1; round <= options.rounds; round++) {
    progress(`page: views, round ${round} of ${options.rounds}`)
    const { page, shown } = await openFresh(browser, address)
    figures['fresh']?.push(shown)
    for (const view of VIEWS) {
      await sleep(1_000) // for what the view before has requested
      figures[view] = [...(figures[view] ?? []), await showView(page, view)]
    }
    await page.context().close()
  }
  return figures
}

function viewRow([view, figures]: [string, Shown[]]): Row {
  const of = (name: keyof Shown) => median(figures.map((figure) => figure[name]))
  const isFresh = view === 'fresh'
  const most = isFresh ? FRESH.ms : VIEW_MS
  return {
    what: isFresh ? 'page, nothing cached, to its first figure' : `page, from the link to the first row of ${view}`,
    target: `< ${most} ms${isFresh ? `, < ${count(FRESH.bytes)} bytes` : ''}`,
    measured: `${milliseconds(of('firstMs'))}, all ${milliseconds(of('allMs'))}, ${of('requests')} requests, ${count(of('bytes'))} bytes`,
    met: of('firstMs') < most && (!isFresh || of('bytes') < FRESH.bytes),
  }
}
