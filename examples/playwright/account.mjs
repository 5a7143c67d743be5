// NOT RUN with Playwright by this project. Its tests run the fixture in Node, without a browser.
//
// A fixture for @playwright/test: each worker has an account that no other worker has, on whatever machine (--shard), and keeps it until
// it ends. USERSYNC_URL, USERSYNC_KEY, USERSYNC_POOL. It needs the npm package usersync (npm install --omit=optional usersync).
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

const { USERSYNC_URL = 'http://127.0.0.1:3000', USERSYNC_KEY, USERSYNC_POOL } = process.env
const client = createClient({ url: USERSYNC_URL, key: USERSYNC_KEY, pool: USERSYNC_POOL })

// Playwright reads which fixtures a fixture needs from the first parameter: none.
// biome-ignore lint/correctness/noEmptyPattern: Playwright requires a pattern here
export async function account({}, use) {
  // The client renews the lease until it is returned.
  const lease = await client.leases.take({ wait_seconds: 30, owner: 'playwright', include: ['password'] })
  try {
    await use(lease.users[0])
  } finally {
    await lease.return()
  }
}
