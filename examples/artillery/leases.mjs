// Leases an account of usersync for each virtual user of leases.yml. USERSYNC_URL, USERSYNC_KEY, USERSYNC_POOL.

const { USERSYNC_URL = 'http://127.0.0.1:3000', USERSYNC_KEY, USERSYNC_POOL = 'default' } = process.env

export async function lease(context) {
  // Longer than a scenario takes, since nothing renews it. A virtual user that fails returns nothing: its account comes back then.
  const { id, fence, users } = await post('/v1/leases', { ttl_seconds: 120, wait_seconds: 30, include: ['password'] })
  const [{ username, password }] = users
  Object.assign(context.vars, { id, fence, username, password })
}

export async function release({ vars: { id, fence } }) {
  await post(`/v1/leases/${id}/return`, { fence, outcome: 'clean' })
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
