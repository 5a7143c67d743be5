// NOT RUN with k6 by this project: k6 is not in a package registry that its tests can use. The tests run this file in Node, with a
// stand-in for the modules of k6.
//
// Each iteration has an account that no other virtual user has, logs in with the form of the system under test, and returns the account:
//
//   curl -O http://127.0.0.1:3000/clients/k6.js
//   k6 run -e USERSYNC_URL=http://127.0.0.1:3000 -e TARGET=http://127.0.0.1:8080 --vus 50 --duration 1m leases.js

import { check } from 'k6'
import http from 'k6/http'
import { lease, release } from './k6.js'

export default function () {
  const mine = lease({ include: ['password'] })
  const { username, password } = mine.user
  const form = http.get(`${__ENV.TARGET}/login`)
  const csrf = /name="csrf" value="([^"]+)"/.exec(form.body)[1]
  const answer = http.post(`${__ENV.TARGET}/login`, { csrf, username, password }, { redirects: 0 })
  check(answer, { 'logged in': ({ status }) => status === 302 })
  http.get(`${__ENV.TARGET}/me`)
  http.post(`${__ENV.TARGET}/logout`)
  release(mine)
}
