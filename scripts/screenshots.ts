// `npm run screenshots`: makes the pictures of docs/page.md, from a real service with made-up data. With a folder,
// `npm run screenshots -- FOLDER` makes pictures of every view instead: at 1440 and 360 px, light and dark, to look at.

import { mkdirSync } from 'node:fs'
import { resolve } from 'node:path'
import { chromium } from 'playwright-core'
import { startService } from '../bench/demo-service.ts'
import { CHROMIUM } from '../test/page/chromium.ts'

/** The pictures of docs/page.md, and their views. */
const PICTURES = { overview: 'overview', 'make-users': 'make?template=shop', batch: 'batches/{batch}' }

const VIEWS = [
  ...['overview', 'make?template=shop', 'batches', 'batches/{batch}', 'users', 'users/{user}', 'targets'],
  ...['targets/copy', 'leases', 'leases/{lease}', 'lifecycle?age_days=0', 'templates', 'templates/shop', 'audit'],
]

interface Shot {
  view: string
  file: string
  width: number
  height: number
  colorScheme: 'light' | 'dark'
  fullPage: boolean
}

function shots(folder: string | undefined): Shot[] {
  if (folder === undefined) {
    const docs = resolve(import.meta.dirname, '../docs/page')
    const size = { width: 1280, height: 800, colorScheme: 'light', fullPage: false } as const
    return Object.entries(PICTURES).map(([name, view]) => ({ ...size, view, file: `${docs}/${name}.png` }))
  }
  const sizes = [
    { width: 1440, height: 900 },
    { width: 360, height: 740 },
  ]
  return VIEWS.flatMap((view) =>
    sizes.flatMap((size) =>
      (['light', 'dark'] as const).map((colorScheme) => {
        const name = view.replaceAll(/\W+/g, '-').replace(/-$/, '')
        return {
          view,
          ...size,
          colorScheme,
          fullPage: true,
          file: `${folder}/${name}-${size.width}-${colorScheme}.png`,
        }
      }),
    ),
  )
}

/** Creates what the views show, and returns the ids of what to look at. */
async function fill(url: string): Promise<Record<string, string>> {
  const call = async (path: string, body: object, prefer = 'wait=60') => {
    const headers = { 'content-type': 'application/json', prefer }
    const response = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) })
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
    return (await response.json()) as { id: string; users?: { id: string }[] }
  }
  const shop = { template: 'shop', config: { seed: 'pictures' } }
  await call('/v1/pools', { name: 'staging', replica: 'test_users' })
  const { id } = await call('/v1/batches', { count: 10_000, label: 'Spring sale', ...shop })
  await call('/v1/batches', { count: 500, label: 'Smoke test', expires_in: 86_400 })
  const lease = await call('/v1/leases', { count: 12, owner: 'k6 on runner-3', ttl_seconds: 3600 })
  await call('/v1/targets', { name: 'tester', url: 'http://127.0.0.1:9' })
  await call('/v1/targets', { name: 'copy', url, remote_pool: 'staging' })
  for (const target of ['tester', 'copy']) await call('/v1/sync', { target })
  await call('/v1/batches', { count: 400_000, label: 'Load test of the week', template: 'saas' }, '')
  return { batch: id, lease: lease.id, user: lease.users?.[0]?.id ?? '' }
}

async function take(folder: string | undefined): Promise<void> {
  if (CHROMIUM === undefined) throw new Error('no chromium on this machine: apt-get install chromium-headless-shell')
  const service = startService()
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] })
  try {
    const url = await service.listening
    const ids = await fill(url)
    for (const { view, file, width, height, colorScheme, fullPage } of shots(folder)) {
      mkdirSync(resolve(file, '..'), { recursive: true })
      const page = await browser.newPage({ viewport: { width, height }, colorScheme, reducedMotion: 'reduce' })
      await page.goto(`${url}/ui/#/${view.replace(/{(\w+)}/, (_, name: string) => ids[name] ?? '')}`)
      await page.locator('main h1').waitFor()
      // A chart has a sample every 5 s.
      await page.waitForTimeout(folder === undefined ? 30_000 : view === 'overview' ? 12_000 : 2_000)
      const tooWide = await page.evaluate('document.documentElement.scrollWidth - innerWidth')
      if (tooWide !== 0) process.stderr.write(`${file}: the content is ${tooWide} px wider than the screen\n`)
      await page.screenshot({ path: file, fullPage })
      process.stdout.write(`${file}\n`)
      await page.close()
    }
  } finally {
    await browser.close()
    await service.stop()
  }
}

await take(process.argv[2])
