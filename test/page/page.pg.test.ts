import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Page } from 'playwright-core'
import { as, secretOf, WITH_KEYS } from '../http/keys.ts'
import { sharedService } from '../http/shared-service.ts'
import { openTransaction } from '../open-transaction.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { needsBrowser, openPage } from './open-page.ts'

const t = suite()

/* The page as its user sees it: a real browser, a real service, and pools that the tests fill. */

const { url, call, sql } = await sharedService(t, WITH_KEYS)
for (const name of ['shop', 'marked', 'listed', 'shared']) {
  await call('POST', '/v1/pools', { headers: as('root'), body: { name } })
}
const config = { password_hash: { algorithm: 'none' } }
const make = async (pool: string, body: object) => {
  const headers = { ...as('root'), prefer: 'wait=30' }
  const answer = await call<{ id: string }>('POST', `/v1/batches?pool=${pool}`, { headers, body: { config, ...body } })
  return answer.json.id
}
/** For what can only be wrong in the page itself: each test takes half a second of CPU time or more. */
const atFullSize = { skip: needsBrowser.skip || sized<string | false>('runs with SIZE=full', false) }
const count = async () =>
  Number((await sql`select count(*) from users where is_test_user and pool_id = 1`)[0]?.['count'])

t.test('from nothing to users downloaded and deleted, in the browser alone', needsBrowser, async (t) => {
  const { page, mishaps, refusals } = await openPage(t)
  await page.goto(url)
  await page.getByLabel('Key').fill('not-the-key')
  await page.getByRole('button', { name: 'Use this key' }).click()
  await page.getByText('This key is not known.').waitFor()
  await page.getByLabel('Key').fill(secretOf('root'))
  await page.getByRole('button', { name: 'Use this key' }).click()

  await page.getByRole('heading', { name: 'This pool has no users yet' }).waitFor()
  await page.getByRole('main').getByRole('link', { name: 'Make users' }).click()
  await page.getByLabel('Users', { exact: true }).fill('1200')
  await page.getByLabel('Username pattern').fill('{frist}.{n}@example.com')
  await page.getByText('has the unknown placeholder {frist}').waitFor()
  t.ok(await page.getByRole('button', { name: 'Make 1,200 users' }).isDisabled())
  await page.getByLabel('Add an attribute').selectOption('First name')
  await page.getByLabel('Username pattern').fill('{first}.{n}@example.com')
  await page.getByRole('table', { name: 'The first users' }).getByText('.12@example.com').waitFor()
  await page.getByRole('button', { name: 'Make 1,200 users' }).click()

  await page.locator('main .badge', { hasText: 'completed' }).waitFor()
  t.equal(await page.evaluate('document.activeElement.id'), 'main', 'what was opened has the focus')
  t.match(await page.locator('.figures').textContent(), /1,200\s+of 1,200 users/)
  const download = page.waitForEvent('download')
  await page.getByRole('button', { name: 'Download' }).click()
  const lines = (await readFile(await (await download).path(), 'utf8')).trim().split(/\r?\n/)
  t.equal(lines.filter((line) => line.includes('@example.com')).length, 1200)
  await page.getByRole('button', { name: 'Show the password' }).click()
  t.match(await page.getByRole('region', { name: 'Password' }).textContent(), /^\S{12,}$/)

  await call('POST', '/v1/leases', { headers: as('root'), body: { count: 3 } })
  await page.getByRole('button', { name: 'Delete its users' }).click()
  const dialog = page.getByRole('dialog', { name: 'Delete 1,200 users?' })
  await dialog.getByText('Leased now: 3. The holders of leases lose them.').waitFor()
  await dialog.getByRole('textbox').fill('120')
  t.ok(await dialog.getByRole('button', { name: 'Delete' }).isDisabled(), 'another number is not enough')
  t.equal(await count(), 1200)
  await dialog.getByRole('textbox').fill('1,200')
  await page.keyboard.press('Enter')
  await page.getByText('Its users were removed').waitFor()
  t.equal(await count(), 0)
  await page.getByRole('navigation', { name: 'Path' }).getByRole('link').click()
  await page.getByRole('row', { name: /removed.* 1,200 1,200 0 0 / }).waitFor() // of 1,200 users none failed, and none is left
  t.strictSame(mishaps, [])
  t.strictSame(
    refusals.filter((each) => each !== 'GET /v1/me 401'),
    [],
  )
  t.notMatch(await page.evaluate('location.href + document.title + JSON.stringify(localStorage)'), /s3cret/)
})

t.test('names full of markup are text', needsBrowser, async (t) => {
  const markup = '<img src=x onerror=alert(1)>"><script>alert(2)</script>'
  const id = await make('marked', { count: 1, label: markup, config: { ...config, custom_attributes: { x: markup } } })
  await make('marked', { count: 1, config: { ...config, username_pattern: '<b>{n}</b>@example.com' } })
  await make('marked', { count: 1, config: { ...config, username_pattern: '<b>{n}</b>@example.com' } })
  const { page, mishaps } = await openPage(t, { key: secretOf('root') })
  for (const view of ['overview', 'batches', `batches/${id}`, 'make', markup, `batches/${markup}`]) {
    await page.goto(`${url}/ui/#/${view.split('/').map(encodeURIComponent).join('/')}?pool=marked`)
    await page.locator('main h1').waitFor()
    await page.locator('main .loading').waitFor({ state: 'detached' })
    if (view === 'batches') await page.getByText(markup, { exact: true }).waitFor()
    if (view === `batches/${id}`) await page.getByRole('heading', { name: markup }).waitFor()
    t.equal(await page.locator('main img, main b, main script').count(), 0, view)
  }
  t.strictSame(mishaps, [])
})

t.test('what a key does not allow is shown as not allowed, and not tried', needsBrowser, async (t) => {
  const id = await make('shop', { count: 1 })
  const seen = async (key: string, place: string): Promise<[Page, string[]]> => {
    const { page, refusals } = await openPage(t, { key: secretOf(key) })
    await page.goto(`${url}/ui/#/${place}`)
    await page.locator('main h1').waitFor()
    return [page, refusals]
  }
  const [reader, refusedReader] = await seen('reader', 'make?pool=shop')
  await reader.getByText('Making users needs a key with the scope users:write').waitFor()
  await reader.goto(`${url}/ui/#/batches/${id}?pool=shop`)
  await reader.getByText('Cancelling or deleting needs a key with the scope users:write').waitFor()
  await reader.getByText('Its password needs a key with the scope credentials:read').waitFor()
  t.strictSame(refusedReader, [])

  const [maker, refusedMaker] = await seen('maker', 'make?pool=shop')
  await maker.getByText('A preview of the users needs a key with the scope users:read').waitFor()
  await maker.getByLabel('Label').fill('blind')
  await maker.getByLabel('Users', { exact: true }).fill('0')
  await maker.getByRole('button', { name: 'Make 0 users' }).click()
  await maker.locator('.field', { hasText: 'Users' }).getByText('must be a whole number from 1').waitFor()
  await maker.getByLabel('Users', { exact: true }).fill('1')
  await maker.getByRole('button', { name: 'Make 1 user' }).click()
  await maker.getByText('is queued. To watch it takes a key with the scope users:read').waitFor()
  t.strictSame(refusedMaker, ['POST /v1/batches 400'])

  const [lessee, refusedLessee] = await seen('lessee', 'batches')
  await lessee.getByText('Batches needs a key with the scope users:read').waitFor()
  t.strictSame(refusedLessee, [])

  const [shopkeeper, refusedShopkeeper] = await seen('shopkeeper', 'batches')
  await shopkeeper.waitForURL(/pool=shop/)
  await shopkeeper.getByRole('table', { name: 'Batches' }).waitFor()
  t.strictSame(refusedShopkeeper, [])

  await reader.goto(`${url}/ui/#/?pool=Shop`)
  await reader.getByRole('main').getByText('querystring.pool').waitFor() // a name that no pool can have
})

t.test('a list stays while it is read, and new rows wait for a click', needsBrowser, async (t) => {
  const first = await make('listed', { count: 1, label: 'the first' })
  const { page } = await openPage(t, { key: secretOf('reader') })
  await page.clock.install()
  await page.goto(`${url}/ui/#/batches?pool=listed`)
  await page.locator('main h1').waitFor()
  await page.keyboard.press('Tab')
  t.equal(await page.locator(':focus').textContent(), 'Skip to the content', 'Tab starts at the top, not at the view')
  await page.getByRole('link', { name: 'the first' }).waitFor()
  await make('listed', { count: 1, label: 'the second' })
  await call('DELETE', `/v1/batches/${first}?pool=listed`, { headers: as('root') })
  await page.getByRole('button', { name: '1 new' }).waitFor()
  t.equal(await page.getByRole('link', { name: 'the second' }).count(), 0)
  await page.getByRole('button', { name: '1 new' }).click()
  t.match(await page.locator('tbody tr').allTextContents(), [/the second/, /the first/])

  await page.getByRole('button', { name: 'Live' }).click()
  await page.getByRole('button', { name: 'Paused' }).waitFor()
  const asked: string[] = []
  page.on('request', (request) => asked.push(request.url()))
  await make('listed', { count: 1, label: 'the third' })
  await page.clock.fastForward(60_000)
  t.strictSame(asked, [], 'paused for a minute')
  await page.getByRole('button', { name: 'Paused' }).click()
  await page.getByRole('button', { name: '1 new' }).waitFor()
})

t.test('a batch that leaves the status of the list says so', atFullSize, async (t) => {
  await call('POST', '/v1/pools', { headers: as('root'), body: { name: 'left' } })
  const holder = await openTransaction(t, sql)
  await holder`lock table users in share mode` // so that the batch cannot write its users
  const body = { pool: 'left', count: 1, label: 'long', config }
  await call('POST', '/v1/batches', { headers: as('root'), body })
  const running = () => sql`select from batches where label = 'long' and status = 'running'`
  while ((await running()).length === 0) await sleep(10) // a list shows later rows only after a click
  const { page } = await openPage(t, { key: secretOf('reader') })
  await page.goto(`${url}/ui/#/batches?pool=left&status=running`)
  await page.getByRole('row', { name: /long.*running/ }).waitFor()
  await holder.rollback()
  await page.getByRole('row', { name: /long.*no longer running/ }).waitFor()
})

t.test('a service that goes and comes back needs no reload', atFullSize, async (t) => {
  const { page, mishaps } = await openPage(t, { key: secretOf('reader') })
  await page.goto(`${url}/ui/#/batches?pool=listed`)
  await page.getByRole('link', { name: 'the first' }).waitFor()
  await page.context().setOffline(true)
  await page.getByText('The service does not answer.').waitFor()
  t.ok(await page.getByRole('link', { name: 'the first' }).isVisible(), 'what was read stays')
  await page.context().setOffline(false)
  await page.getByText('The service does not answer.').waitFor({ state: 'detached' })
  t.strictSame(mishaps, [])
})

t.test('a service that hangs is shown as one that does not answer', atFullSize, async (t) => {
  const { page } = await openPage(t, { key: secretOf('reader') })
  await page.goto(`${url}/ui/#/batches?pool=listed`)
  await page.getByRole('link', { name: 'the first' }).waitFor()
  await page.route('**/v1/**', () => {}) // never answers
  await page.getByText('The service does not answer.').waitFor()
  await page.unrouteAll({ behavior: 'ignoreErrors' })
  await page.getByText('The service does not answer.').waitFor({ state: 'detached' })
})

t.test('two tabs see the same batch end', atFullSize, async (t) => {
  const id = await make('shared', { count: 3, label: 'shared' })
  const tabs = await Promise.all(['root', 'writer'].map((name) => openPage(t, { key: secretOf(name) })))
  for (const { page } of tabs) {
    await page.goto(`${url}/ui/#/batches?pool=shared`)
    await page.getByRole('link', { name: 'shared' }).waitFor()
  }
  const [one, two] = tabs.map(({ page }) => page)
  await one?.goto(`${url}/ui/#/batches/${id}?pool=shared`)
  await one?.getByRole('button', { name: 'Delete its users' }).click()
  await one?.getByRole('dialog').getByRole('textbox').fill('3')
  await one?.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
  await one?.getByText('Its users were removed').waitFor()
  await two?.getByRole('link', { name: 'shared' }).click()
  await two?.getByText('Its users were removed').waitFor()
  t.strictSame(
    tabs.flatMap(({ mishaps, refusals }) => [...mishaps, ...refusals]),
    [],
  )
})

t.test('behind a path of a proxy everything works too', atFullSize, async (t) => {
  const { page, mishaps, refusals } = await openPage(t, { key: secretOf('reader') })
  const outside: string[] = []
  await page.route('**', async (route) => {
    const requested = new URL(route.request().url())
    if (!requested.pathname.startsWith('/tools/usersync/')) outside.push(requested.pathname)
    requested.pathname = requested.pathname.replace('/tools/usersync/', '/')
    const response = await route.fetch({ url: requested.href, maxRedirects: 0 })
    await route.fulfill({ response })
  })
  await page.goto(`${url}/tools/usersync/ui/`) // the redirect to it is in files.pg.test.ts
  await page.getByRole('heading', { name: 'Overview' }).waitFor()
  t.strictSame([outside, mishaps, refusals], [[], [], []])
  await page.unrouteAll({ behavior: 'ignoreErrors' })
})
