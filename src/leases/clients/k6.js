// Test users of usersync for k6: users that no other virtual user has, until they are released or their time is over.
//
//   curl -O http://usersync:3000/clients/k6.js        # k6 imports from files and https only
//   k6 run -e USERSYNC_URL=http://usersync:3000 -e USERSYNC_KEY=... script.js
//
//   import { lease, release } from './k6.js'
//   export default function () {
//     const mine = lease({ include: ['password'] })
//     http.post(`${__ENV.TARGET}/login`, { username: mine.user.username, password: mine.user.password })
//     release(mine)
//   }
//
// To keep one user for all iterations of a virtual user, store the lease outside of the function and call renew() in each iteration.
// k6 has no function that runs at the end of a virtual user: such a user comes back when the ttl of its lease is over.
//
// USERSYNC_URL (default http://127.0.0.1:3000), USERSYNC_KEY (scope users:lease, and credentials:read for passwords; users() needs
// users:read) and USERSYNC_POOL (default: default) are settings of k6 (-e). MIT licence, part of usersync.

import { sleep } from 'k6'
import http from 'k6/http'

const URL = (__ENV.USERSYNC_URL || 'http://127.0.0.1:3000').replace(/\/+$/, '')
const POOL = encodeURIComponent(__ENV.USERSYNC_POOL || 'default')

/** Attempts of a request while the service is away or overloaded. */
const ATTEMPTS = 5
const MAX_PAUSE_SECONDS = 10

/**
 * Leases users, and waits up to 30 s for some that come back. `options` are the members of POST /v1/leases: count, ttl_seconds,
 * filter, order, include, partial, wait_seconds, owner. Returns { id, fence, expires_at, users, user, ttl_seconds }; `user` is the
 * first one. Throws an Error with `code`: users_exhausted if too few are free.
 */
export function lease(options = {}) {
  const body = { ttl_seconds: 60, wait_seconds: 30, owner: `k6 VU ${__VU}`, ...options }
  // Repeated with the same key, a request whose response was lost gets the same lease.
  const key = `k6-${__VU}-${Date.now()}-${Math.random()}`
  const begun = Date.now()
  const granted = request('lease', 'POST', '/v1/leases', body, { 'Idempotency-Key': key })
  return { ...granted, user: granted.users[0], ttl_seconds: body.ttl_seconds, renewed_at: begun }
}

/**
 * Renews a lease when a third of its ttl is over; until then it sends nothing. Call it in each iteration. Returns false if the lease is
 * lost: its users may be with others, so lease new ones. Throws an Error if the service cannot be reached.
 */
export function renew(mine) {
  const begun = Date.now()
  const age = begun - mine.renewed_at // below 0 after the clock of the machine was set back
  if (age >= 0 && age < (mine.ttl_seconds * 1000) / 3) return true
  const { fence, ttl_seconds } = mine
  const renewed = request('renew', 'POST', `/v1/leases/${mine.id}/renew`, { fence, ttl_seconds }, {}, 'lease_lost')
  if (!renewed) return false
  mine.expires_at = renewed.expires_at
  mine.renewed_at = begun
  return true
}

/**
 * Returns the users of a lease. `outcome`: clean (free again), dirty or consumed (nobody gets them before a reset). Returns false if the
 * lease was lost before.
 */
export function release(mine, outcome = 'clean') {
  const body = { fence: mine.fence, outcome }
  return request('release', 'POST', `/v1/leases/${mine.id}/return`, body, {}, 'lease_lost') !== undefined
}

/** Returns all test users of the pool, for setup(): they are not leased, so that several tests may get the same. */
export function users() {
  return request('users', 'GET', '/v1/users/export?format=json', null, {}).users
}

/** Sends a request, again while the service is away. Returns undefined for a problem with the code `allowed`. */
function request(name, method, path, body, headers, allowed) {
  const params = {
    headers: { 'Content-Type': 'application/json', ...headers },
    tags: { name: `usersync ${name}` },
    timeout: '60s',
    redirects: 0, // one would make a GET of a POST
    responseType: 'text',
  }
  if (__ENV.USERSYNC_KEY) params.headers.Authorization = `Bearer ${__ENV.USERSYNC_KEY}`
  const url = `${URL}${path}${path.includes('?') ? '&' : '?'}pool=${POOL}`
  for (let attempt = 1; ; attempt++) {
    const response = http.request(method, url, body && JSON.stringify(body), params)
    if (response.status >= 200 && response.status < 300) return JSON.parse(response.body)
    const problem = problemOf(response)
    if (allowed && problem.code === allowed) return undefined
    const mayPass = response.status === 0 || response.status === 429 || response.status >= 500
    if (!mayPass || attempt === ATTEMPTS) throw failure(name, response, problem)
    sleep(Math.min(Number(response.headers['Retry-After']) || attempt, MAX_PAUSE_SECONDS))
  }
}

function problemOf(response) {
  try {
    return JSON.parse(response.body) || {}
  } catch (_) {
    return {} // a proxy's page, or no response
  }
}

function failure(name, response, problem) {
  const reason = problem.detail || response.error || `status ${response.status}`
  const error = new Error(`usersync ${name}: ${problem.title ? `${problem.title}. ` : ''}${reason}`)
  error.code = problem.code
  return error
}
