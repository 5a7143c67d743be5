import { readFile } from 'node:fs/promises'
import { AxeBuilder } from '@axe-core/playwright'
import { startService } from '../http/service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { needsBrowser, openPage } from './open-page.ts'

const t = suite()

/* The main action of each view but those of page.pg.test.ts, without keys: then the page just works. */

const { url, call, sql } = await startService(t)
const make = async (body: object) => {
  const config = { password_hash: { algorithm: 'none' }, ...('config' in body && (body.config as object)) }
  const answer = await call<{ id: string }>('POST', '/v1/batches', {
    headers: { prefer: 'wait=30' },
    body: { ...body, config },
  })
  return answer.json.id
}
const config = { username_pattern: 'night.{n}@example.com', custom_attributes: { account: 0 } }
const batch = await make({ count: 60, label: 'night', config })
const { items } = (await call<{ items: { id: string }[] }>('GET', '/v1/users?username=night.7@example.com')).json
const user = items[0]?.id ?? ''
// PostgreSQL keeps all digits of a number, and so does the page.
await sql`update users set custom_attributes = '{"account": 12345678901234567890, "tax": 0.1000}' where id = ${user}`
await call('POST', '/v1/pools', { body: { name: 'copy', replica: 'test_users' } })
await call('POST', '/v1/targets', { body: { name: 'second', url, remote_pool: 'copy' } })
/** For views whose other action, above or below, runs in every size. */
const atFullSize = { skip: needsBrowser.skip || sized<string | false>('runs with SIZE=full', false) }
const lease = async (owner: string, count: number) =>
  (await call<{ id: string; fence: number }>('POST', '/v1/leases', { body: { owner, count, ttl_seconds: 600 } })).json

t.test('users: found by their exact name, with every digit of their attributes', needsBrowser, async (t) => {
  const { page, mishaps } = await openPage(t)
  await page.goto(`${url}/ui/#/users`)
  const rows = page.locator('tbody tr')
  await page.getByRole('button', { name: 'Next' }).click()
  await page.getByRole('button', { name: 'Previous' }).click()
  await page.getByRole('link', { name: 'night.1@example.com', exact: true }).waitFor()
  t.equal(await rows.count(), 50)
  await page.getByLabel('Exact username, or id').fill('night.7@example.com')
  await page.keyboard.press('Enter')
  await page.getByRole('link', { name: 'night.1@example.com', exact: true }).waitFor({ state: 'detached' })
  await page.getByRole('link', { name: 'night.7@example.com' }).waitFor()
  t.equal(await rows.count(), 1)
  await page.goto(`${url}/ui/#/users?batch_id=${batch}&sort=-username`)
  await page.getByText('Only users of the batch').waitFor()
  t.equal(await page.getByLabel('Order').count(), 0, 'in a batch, only the order of ids has an index')
  await page.getByRole('link', { name: 'night.1@example.com', exact: true }).waitFor()
  await page.goto(`${url}/ui/#/users?username=night.7@example.com`)
  await page.getByRole('link', { name: 'night.7@example.com' }).click()
  const attributes = page.getByRole('region', { name: 'Attributes' })
  t.match(await attributes.textContent(), /"tax": 0\.1000,\s+"account": 12345678901234567890\s/)
  t.strictSame(mishaps, [])
})

t.test('targets: synced and verified', needsBrowser, async (t) => {
  const { page, mishaps } = await openPage(t)
  await page.goto(`${url}/ui/#/targets`)
  await page.getByRole('table', { name: 'Targets' }).getByText('not in step').waitFor()
  await page.getByRole('link', { name: 'second' }).click()
  await page.getByRole('button', { name: 'Sync now' }).click()
  await page.getByRole('table', { name: 'Runs' }).getByText('succeeded').waitFor()
  await page.getByRole('button', { name: 'Verify' }).click()
  await page
    .getByRole('region', { name: 'Result' })
    .getByRole('row', { name: /Different 0/ })
    .waitFor()
  await page.locator('.heading .badge.good').waitFor()
  await page.getByText('Send everything sends all users').waitFor()

  await call('POST', '/v1/pools', { body: { name: 'plain' } })
  await call('POST', '/v1/targets', { body: { name: 'third', url, remote_pool: 'plain' } })
  await page.goto(`${url}/ui/#/targets/third`)
  await page.getByRole('button', { name: 'Sync now…' }).click()
  const dialog = page.getByRole('dialog', { name: 'Make the pool there a replica?' })
  await dialog.getByText('a replica of everything').waitFor()
  t.match((await call('GET', '/v1/pools/plain')).json, { replica: 'none' }, 'nothing has happened yet')
  await dialog.getByRole('button', { name: 'Send the users' }).click()
  await page.getByRole('table', { name: 'Runs' }).getByText('succeeded').waitFor()
  t.match((await call('GET', '/v1/pools/plain')).json, { replica: 'everything' })
  await page.getByRole('button', { name: 'Sync now', exact: true }).waitFor()
  t.strictSame(mishaps, [])
})

t.test('users: one is changed, and another deleted', atFullSize, async (t) => {
  const { page, mishaps } = await openPage(t)
  const open = async (name: string) => {
    await page.goto(`${url}/ui/#/users?username=${name}`)
    await page.getByRole('link', { name }).click()
    await page.getByRole('heading', { name }).waitFor()
  }
  await open('night.7@example.com') // whose attributes have more digits than JavaScript's numbers
  await page.getByText('Change the user').click()
  await page.getByLabel('Role').fill(' ')
  await page.getByLabel('Custom attributes').fill('{"account": 12345678901234567890, "plan": {"name": "gold"}}')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.locator('.field', { hasText: 'Role' }).getByText('blank').waitFor()
  await page.getByLabel('Role').fill('buyer')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.locator('.facts').getByText('buyer').waitFor()
  const attributes = page.getByRole('region', { name: 'Attributes' })
  t.match(await attributes.textContent(), /"name": "gold"\s+},\s+"account": 12345678901234567890\s/)
  await page.getByLabel('Custom attributes').fill('{"plan": {}}')
  await page.getByRole('button', { name: 'Save' }).click()
  await attributes.getByText('account').waitFor({ state: 'detached' })
  t.match(await attributes.textContent(), /^{\s+"plan": {}\s+}$/, 'members that are not in the text are removed')

  await open('night.9@example.com')
  await page.getByRole('button', { name: 'Delete the user…' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
  await page.getByLabel('Exact username, or id').waitFor()
  t.match((await call('GET', '/v1/users?username=night.9@example.com')).json, { items: { length: 0 } })
  t.strictSame(mishaps, [])
})

t.test('targets: one is created, tried, changed and deleted', atFullSize, async (t) => {
  const { page, mishaps } = await openPage(t)
  await page.goto(`${url}/ui/#/targets`)
  await page.getByText('New target').click()
  await page.getByLabel('Kind').selectOption('scim')
  await page.getByLabel('Name', { exact: true }).fill('directory')
  await page.getByLabel('Address').fill('ftp://127.0.0.1')
  await page.getByLabel('Key or password').fill('s3cret')
  t.strictSame(await page.getByLabel('Preset').locator('option').allTextContents(), ['none', 'user'])
  await page.getByRole('button', { name: 'Create the target' }).click()
  await page.locator('.field', { hasText: 'Address' }).locator('.faults').waitFor()
  await page.getByLabel('Address').fill('http://127.0.0.1:9/scim/v2')
  await page.getByLabel('Preset').selectOption('user')
  await page.getByRole('button', { name: 'Create the target' }).click()
  await page.getByRole('heading', { name: 'directory' }).waitFor()
  await page.getByRole('button', { name: 'Dry run' }).click()
  await page.getByText('A run would add 5').waitFor()
  await page
    .getByRole('table', { name: 'Users as they would be sent' })
    .getByText('night.2@example.com')
    .first()
    .waitFor()
  await page.locator('summary', { hasText: /^Settings$/ }).click()
  await page.getByLabel('Push every, in seconds').fill('3600')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.locator('.facts').getByText('1 h 0 min').waitFor()
  t.match((await call('GET', '/v1/targets/directory')).json, { has_key: true, interval_seconds: 3600 })
  t.notMatch(await page.content(), /s3cret/)
  await page.getByRole('button', { name: 'Delete the target…' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
  await page.getByText('New target').waitFor()
  t.match(await call('GET', '/v1/targets/directory'), { status: 404 })
  t.strictSame(mishaps, [])
})

t.test('overview: charts with their numbers, and a new pool', atFullSize, async (t) => {
  const { page, mishaps } = await openPage(t)
  await page.goto(`${url}/ui/`)
  await page.getByText('New pool').click()
  await page.getByLabel('Name').fill('Bad Name')
  await page.getByRole('button', { name: 'Create the pool' }).click()
  await page.locator('.field .faults').waitFor()
  await page.getByLabel('Name').fill('mirror')
  await page.getByLabel('Users come from').selectOption('test_users')
  await page.getByRole('button', { name: 'Create the pool' }).click()
  await page.getByRole('table', { name: 'Pools' }).getByText('mirror').waitFor()
  t.match((await call('GET', '/v1/pools/mirror')).json, { replica: 'test_users' })
  const row = page.getByRole('row', { name: 'mirror' })
  t.equal(await page.getByRole('row', { name: 'default' }).getByRole('button').count(), 0)
  await row.getByRole('button', { name: 'Delete…' }).click()
  await page.getByRole('dialog', { name: 'Delete the pool mirror?' }).getByText('Its 0 test users, 0 batches').waitFor()
  await page.getByRole('button', { name: 'Delete the pool' }).click()
  await row.waitFor({ state: 'detached' })
  t.match(await call('GET', '/v1/pools/mirror'), { status: 404 })
  await call('GET', '/v1/users/export?format=ndjson')
  const exports = page.locator('figure', { hasText: 'Exports' })
  await exports.getByText('As a table').click()
  await exports.getByRole('row', { name: / 0 0 1$/ }).waitFor()
  t.strictSame(mishaps, [])
})

t.test('leases: ended by force, and dirty users reset', needsBrowser, async (t) => {
  const kept = await lease('runner-1', 3)
  const { id, fence } = await lease('runner-2', 4)
  await call('POST', `/v1/leases/${id}/return`, { body: { fence, outcome: 'dirty' } })
  const { page, mishaps } = await openPage(t)
  await page.goto(`${url}/ui/#/leases`)
  await page.getByRole('link', { name: 'runner-1' }).waitFor()
  t.equal(await page.getByRole('link', { name: 'runner-2' }).count(), 0)
  await page.getByRole('button', { name: 'End…' }).click()
  await page.getByRole('dialog').getByRole('textbox').fill('3')
  await page.getByRole('dialog').getByRole('button', { name: 'End the lease' }).click()
  await page.getByRole('row', { name: /runner-1.*ended/ }).waitFor()
  await page.getByRole('button', { name: 'Reset dirty and consumed users…' }).click()
  await page.getByRole('dialog', { name: 'Reset 4 users?' }).getByRole('textbox').fill('4')
  await page.keyboard.press('Enter')
  await page.getByText('4 users freed.').waitFor()
  // The route repeats a count that took long only after a while, so on a busy machine it may still have the count before.
  t.strictSame([...(await sql`select status from lease_users where status <> 'free'`)], [])
  await page.goto(`${url}/ui/#/leases/${kept.id}`)
  await page.getByRole('heading', { name: 'runner-1' }).waitFor()
  t.equal(
    await page
      .getByRole('listitem')
      .getByRole('link', { name: /^night\.\d+@example\.com$/ })
      .count(),
    3,
  )
  await make({ count: 210, label: 'many' })
  const many = await lease('runner-3', 210)
  await page.goto(`${url}/ui/#/leases/${many.id}`)
  await page.getByText('And 10 more.').waitFor()
  t.equal(await page.locator('main ul a').count(), 200)
  await call('DELETE', `/v1/leases/${many.id}`)
  t.strictSame(mishaps, [])
})

t.test('lifecycle: shows what is old, and asks before it removes', needsBrowser, async (t) => {
  const { page, mishaps } = await openPage(t)
  await page.goto(`${url}/ui/#/lifecycle`)
  await page.getByText('is past its time').waitFor()
  await page.getByLabel('At least this old, in days').fill('0.0')
  await page.keyboard.press('Enter')
  await page.getByRole('link', { name: 'night' }).waitFor()
  await page.getByRole('button', { name: 'Remove what has expired…' }).click()
  await page.getByRole('dialog', { name: 'Remove 0 users?' }).getByRole('button', { name: 'Keep' }).click()
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  t.strictSame(mishaps, [])
})

t.test(
  'templates: created, validated, saved, exported and imported; the audit trail has it',
  needsBrowser,
  async (t) => {
    const { page, mishaps } = await openPage(t)
    await page.goto(`${url}/ui/#/templates`)
    await page.getByLabel('Name of a new template').fill('evening')
    await page.getByRole('button', { name: 'Create…' }).click()
    const settings = page.getByLabel('Settings, as in config of a batch')
    await settings.fill('{"role": {"$choise": ["a"]}}')
    await page.getByRole('button', { name: 'Validate' }).click()
    await page.locator('.faults').getByText('role').waitFor()
    await settings.fill('{"role": {"$choice": ["a", "b"]}}')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('Saved.').waitFor()
    await call('PUT', '/v1/templates/evening', { body: { config: { role: 'theirs' } } })
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('Not saved: somebody else changed it').waitFor()
    t.match((await call('GET', '/v1/templates/evening')).json, { config: { role: 'theirs' } })
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('Saved.').waitFor()
    t.match((await call('GET', '/v1/templates/evening')).json, { config: { role: { $choice: ['a', 'b'] } } })
    await page.getByRole('link', { name: 'Templates' }).last().click()
    await page.getByRole('link', { name: 'evening' }).waitFor()
    const download = page.waitForEvent('download')
    await page.getByRole('button', { name: 'Export own templates' }).click()
    const file = await (await download).path()
    t.match(JSON.parse(await readFile(file, 'utf8')), { templates: [{ name: 'evening' }] })
    await page.getByLabel('Import a file').setInputFiles(file)
    await page.getByText('Skipped, because the name is taken: evening').waitFor()
    await page.goto(`${url}/ui/#/audit`)
    await page
      .getByRole('row', { name: /PUT \/v1\/templates\/\{name\}.*evening/ })
      .first()
      .waitFor()
    t.equal(await page.getByText('/v1/templates/validate').count(), 0, 'what changes nothing is not in the trail')
    t.strictSame(mishaps, [])
  },
)

t.test('no serious fault of accessibility in any view, and room on a phone', needsBrowser, async (t) => {
  const { id } = await lease('for axe', 1)
  const all = [
    ...['overview', 'make', 'batches', `batches/${batch}`, 'users', `users/${user}`, 'targets', 'targets/second'],
    ...['leases', `leases/${id}`, 'lifecycle?age_days=0', 'templates', 'templates/shop', 'audit', 'no-such-view'],
  ]
  const views = sized(['make', 'targets/second', `leases/${id}`], all)
  for (const colorScheme of sized(['dark'] as const, ['dark', 'light'] as const)) {
    const { page, mishaps, refusals } = await openPage(t, { colorScheme, viewport: { width: 360, height: 740 } })
    for (const view of views) {
      await page.goto(`${url}/ui/#/${view}`)
      await page.locator('main:has(h1):not(:has(.loading))').waitFor()
      t.equal(await page.evaluate('document.documentElement.scrollWidth'), 360, `${view} fits on a phone`)
      if (view !== 'make' && sized(true, false)) continue // each costs 1.5 s of CPU time
      await page.setViewportSize({ width: 1440, height: 900 })
      const { violations } = await new AxeBuilder({ page }).analyze()
      const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')
      t.strictSame(
        serious.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]),
        [],
        `${view} ${colorScheme}`,
      )
      await page.setViewportSize({ width: 360, height: 740 })
    }
    t.strictSame([mishaps, refusals], [[], []])
  }
})
