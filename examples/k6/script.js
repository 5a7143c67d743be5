// NOT RUN by this project: k6 is not in a package registry that its tests can use.
//
// Each virtual user uses a different test user from users.csv beside this file:
//
//   k6 run -e TARGET=http://127.0.0.1:8080 --vus 50 --duration 1m script.js

import papaparse from 'https://jslib.k6.io/papaparse/5.1.1/index.js'
import { SharedArray } from 'k6/data'
import exec from 'k6/execution'
import http from 'k6/http'

// Read once, and shared by all virtual users.
const users = new SharedArray(
  'users',
  () => papaparse.parse(open('./users.csv'), { header: true, skipEmptyLines: true }).data,
)

export default function () {
  // Unique across all instances of a distributed test.
  const user = users[exec.vu.idInTest - 1]
  if (!user) exec.test.abort('users.csv has fewer users than this test has virtual users')
  // name: one line in the statistics, not one for each user
  http.get(`${__ENV.TARGET}/?username=${encodeURIComponent(user.username)}`, { tags: { name: '/' } })
}
