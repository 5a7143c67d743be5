// NOT RUN with Playwright by this project. Its tests run the fixture in Node, without a browser.
//
// A fixture for @playwright/test: each worker has an account that no other worker has, on whatever machine (--shard), and keeps it until
// it ends. USERSYNC_URL, USERSYNC_KEY, USERSYNC_POOL.
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

const { USERSYNC_URL = 'http://127.0.0.1:3000', USERSYNC_KEY, USERSYNC_POOL = 'default' } = process.env
const TTL_SECONDS = 60

// Playwright reads which fixtures a fixture needs from the first parameter: none.
// biome-ignore lint/correctness/noEmptyPattern: Playwright requires a pattern here
export async function account({}, use) {
  const request = { ttl_seconds: TTL_SECONDS, wait_seconds: 30, owner: 'playwright', include: ['password'] }
  const { id, fence, users } = await post('/v1/leases', request)
  const renewal = setInterval(
    () => {
      post(`/v1/leases/${id}/renew`, { fence, ttl_seconds: TTL_SECONDS }).catch(() => {}) // the next attempt comes in time
    },
    (TTL_SECONDS / 3) * 1000,
  )
  try {
    await use(users[0])
  } finally {
    clearInterval(renewal)
    await post(`/v1/leases/${id}/return`, { fence, outcome: 'clean' })
  }
}

async function post(path, body) {
  const headers = {
    'content-type': 'application/json',
    ...(USERSYNC_KEY && { authorization: `Bearer ${USERSYNC_KEY}` }),
  }
  const answer = await fetch(`${USERSYNC_URL}${path}?pool=${USERSYNC_POOL}`, {
    method: 'POST',
    headers,
    body: JSON.stringify(body),
  })
  if (!answer.ok) throw new Error(`${path}: ${(await answer.json()).detail}`)
  return await answer.json()
}
