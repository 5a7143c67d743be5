// A whole site with better-auth's accounts, in one file. It stands for the system under test.
//
//   npm install better-auth@1.7.25 pg@8
//   SHOP_DATABASE=postgres://user:password@127.0.0.1:5432/shop PORT=8000 node shop.mjs
//
// It makes better-auth's tables, and prints its URL when it listens.

import { createServer } from 'node:http'
import { betterAuth } from 'better-auth'
import { getMigrations } from 'better-auth/db/migration'
import { toNodeHandler } from 'better-auth/node'
import pg from 'pg'

const { SHOP_DATABASE, PORT = '8000' } = process.env
const options = {
  baseURL: `http://127.0.0.1:${PORT}`,
  database: new pg.Pool({ connectionString: SHOP_DATABASE, max: 4 }),
  emailAndPassword: { enabled: true },
  secret: 'for tests on this machine only, 0123456789',
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
}
const { runMigrations } = await getMigrations(options)
await runMigrations()
createServer(toNodeHandler(betterAuth(options))).listen(Number(PORT), '127.0.0.1', () => {
  process.stdout.write(`${options.baseURL}\n`)
})
