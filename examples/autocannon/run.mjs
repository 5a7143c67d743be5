// Requests take the test users of users.csv in turn, over 10 connections (npm install autocannon csv-parse):
//
//   node run.mjs http://127.0.0.1:8080 users.csv 10

import { readFile } from 'node:fs/promises'
import autocannon from 'autocannon'
import { parse } from 'csv-parse/sync'

const [target, file = 'users.csv', seconds = '10'] = process.argv.slice(2)
const users = parse(await readFile(file), { columns: true })
if (!target || users.length === 0)
  throw new Error('usage: node run.mjs TARGET [USERS.CSV [SECONDS]], with users in the file')
let turn = 0

/** Each user is used again only after all others, on whatever connection. */
function asNextUser(request) {
  const { username } = users[turn++ % users.length]
  return { ...request, path: `/?${new URLSearchParams({ username })}` }
}

const result = await autocannon({
  url: target,
  connections: 10,
  duration: Number(seconds),
  requests: [{ setupRequest: asNextUser }],
})
process.stdout.write(autocannon.printResult(result))
if (result.errors + result.non2xx > 0) process.exitCode = 1
