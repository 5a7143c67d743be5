// NOT RUN with Playwright by this project. Its tests run the fixture in Node, without a browser.
//
// A fixture for @playwright/test: each worker has an account that no other worker has, on whatever machine (--shard), and keeps it until
// it ends. USERSYNC_URL, USERSYNC_KEY, USERSYNC_POOL. It needs the npm package: npm install --omit=optional usersync
//
//   import { test as base } from '@playwright/test'
//   import { account } from './account.mjs'
//   const test = base.extend({ account: [account, { scope: 'worker' }] })
//
//   test('logs in', async ({ page, account }) => {
//     await page.goto('/login')
//     await page.fill('[name=username]', account.username)
//     await page.fill('[name=password]', account.password)
//     await page.press('[name=password]', 'Enter')
//   })

import { createClient } from 'usersync/client'

const { USERSYNC_URL: url = 'http://127.0.0.1:3000', USERSYNC_KEY: key, USERSYNC_POOL: pool } = process.env
const client = createClient({ url, key, pool })

// Playwright reads which fixtures a fixture needs from the first parameter: none.
// biome-ignore lint/correctness/noEmptyPattern: Playwright requires a pattern here
export async function account({}, use) {
  const lease = await client.leases.take({ wait_seconds: 30, owner: 'playwright', include: ['password'] })
  try {
    await use(lease.user) // the lease renews itself meanwhile
  } finally {
    await lease.return()
  }
}
