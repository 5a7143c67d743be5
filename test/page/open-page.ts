import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import root, { type Test } from 'tap'
import { CHROMIUM } from './chromium.ts'

/** The option of a test that needs a browser. */
export const needsBrowser = {
  skip: CHROMIUM === undefined && 'no chromium on this machine: apt-get install chromium-headless-shell',
}

let launched: Promise<Browser> | undefined

/** One browser for all files of the lane: starting it takes a second of CPU time. */
function browser(): Promise<Browser> {
  if (launched === undefined) {
    launched = launch()
    root.teardown(async () => (await launched)?.close())
  }
  return launched
}

async function launch(): Promise<Browser> {
  const { chromium } = await import('playwright-core') // 0.3 s of CPU time, also on a machine without a browser
  // Chromium's sandbox does not work for root, nor in most containers. It loads nothing but our own page.
  const args = ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu']
  return await chromium.launch({ executablePath: CHROMIUM ?? '', args })
}

export interface OpenPage {
  page: Page
  /** What must not happen on any page: reports of the content policy, errors of scripts, dialogs of planted scripts. */
  mishaps: string[]
  /** Answers of the API that are no success, such as `GET /v1/stats 403`. */
  refusals: string[]
}

interface Options extends BrowserContextOptions {
  /** The key that the tab has already. */
  key?: string
}

/** Opens a tab of its own context, so with its own storage. It is closed at the end of `t`. */
export async function openPage(t: Test, { key, ...options }: Options = {}): Promise<OpenPage> {
  const context = await (await browser()).newContext({ viewport: { width: 1440, height: 900 }, ...options })
  t.teardown(() => context.close())
  const page = await context.newPage()
  page.setDefaultTimeout(30_000)
  const mishaps: string[] = []
  const refusals: string[] = []
  page.on('pageerror', ({ message }) => mishaps.push(message))
  page.on('dialog', (dialog) => {
    mishaps.push(`dialog: ${dialog.message()}`)
    void dialog.dismiss()
  })
  page.on('console', (message) => {
    const isAnswer = message.text().startsWith('Failed to load resource') // reported as refusals
    if (['error', 'warning'].includes(message.type()) && !isAnswer) mishaps.push(message.text())
  })
  page.on('response', (response) => {
    if (response.status() < 400 || response.status() === 503) return // 503: this machine is busy
    refusals.push(`${response.request().method()} ${new URL(response.url()).pathname} ${response.status()}`)
  })
  if (key !== undefined) await page.addInitScript((secret) => sessionStorage.setItem('usersync.key', secret), key)
  return { page, mishaps, refusals }
}
