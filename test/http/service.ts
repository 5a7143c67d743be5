import { mkdtemp, rm } from 'node:fs/promises'
import { Agent, type IncomingHttpHeaders, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import type { Sql } from 'postgres'
import { readConfig } from '../../src/config/config.ts'
import { connect } from '../../src/database/connection.ts'
import { loggableError } from '../../src/database/loggable-error.ts'
import { type Pace, type Service as RealService, startService as startRealService } from '../../src/service.ts'
import { PUSH_PACE } from '../../src/sync/push.ts'
import { SYNC_PACE } from '../../src/sync/sync-scheduler.ts'
import { testDatabase } from '../database.ts'
import { beginLog, keepAnswer } from '../run-record.ts'

interface Test {
  teardown(fn: () => Promise<void>): void
}

/** A response; `raw` is the undecoded body. */
export interface Answer<Json = unknown> {
  status: number
  headers: IncomingHttpHeaders
  raw: Buffer
  /** The body of an uncompressed JSON response, otherwise undefined. */
  json: Json
}

export interface Request {
  /** An object is sent as JSON, a text unchanged. */
  body?: object | string
  headers?: Record<string, string>
}

export interface Service extends Omit<RealService, 'stop' | 'sql'> {
  /** Plain SQL from another client, on the test's own connections. */
  sql: Sql
  url: string
  databaseUrl: string
  /** The service's DATA_DIR, removed at the end of the test. */
  dataDir: string
  /** The log lines so far, as JSON. */
  log: string[]
  call<Json = unknown>(method: string, path: string, request?: Request): Promise<Answer<Json>>
}

/** A run pauses for 20 ms before its second attempt. Counts of leased users are exact, however slow the machine is. */
const TEST_PACE: Pace = {
  leaseCountsRest: 0,
  sync: { ...SYNC_PACE, push: { ...PUSH_PACE, firstPauseMs: 20 } },
}

/**
 * Starts the complete service in this process, with real worker threads, its own database, and a loopback port.
 * `settings` are environment variables. Everything stops at the end of `t`.
 */
export async function startService(t: Test, settings: Record<string, string> = {}, pace?: Pace): Promise<Service> {
  const databaseUrl = settings['DATABASE_URL'] ?? (await testDatabase())
  const dataDir = await mkdtemp(join(tmpdir(), 'usersync-data-'))
  t.teardown(() => rm(dataDir, { recursive: true, force: true }))
  const config = readConfig({ MAX_WORKERS: '1', ENCRYPTION_KEY: 'e1'.repeat(32), DATA_DIR: dataDir, ...settings })
  const lines: string[] = []
  const keepLine = beginLog()
  const log = pino(
    { level: 'debug', base: null, serializers: { err: loggableError } },
    {
      write(line: string) {
        lines.push(line)
        keepLine(line)
      },
    },
  )
  const { app, workers, memory, stop } = await startRealService(config, databaseUrl, log, { ...TEST_PACE, ...pace })
  const sql = connect({ url: databaseUrl, schema: config.schema, connections: 4, name: 'test' })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
  const agent = new Agent({ keepAlive: true })
  t.teardown(async () => {
    agent.destroy()
    await stop()
    await sql.end({ timeout: 5 })
  })
  return {
    url,
    databaseUrl,
    dataDir,
    app,
    sql,
    workers,
    memory,
    log: lines,
    call: (method, path, request) => call(agent, method, url + path, request),
  }
}

/** Sends a request without default headers, so that each test sets what it needs. */
function call<Json>(agent: Agent, method: string, url: string, { body, headers = {} }: Request = {}) {
  const { promise, resolve, reject } = Promise.withResolvers<Answer<Json>>()
  const json = typeof body === 'object'
  const sent = request(url, {
    method,
    agent,
    headers: { ...(json && { 'content-type': 'application/json' }), ...headers },
  })
  sent.on('error', reject)
  sent.on('response', (response) => {
    const chunks: Buffer[] = []
    response.on('data', (chunk: Buffer) => void chunks.push(chunk))
    response.on('error', reject)
    response.on('end', () => {
      const raw = Buffer.concat(chunks)
      keepAnswer(response.statusCode ?? 0, response.headers, raw)
      resolve({
        status: response.statusCode ?? 0,
        headers: response.headers,
        raw,
        json: jsonOf(response.headers, raw) as Json,
      })
    })
  })
  sent.end(json ? JSON.stringify(body) : body)
  return promise
}

function jsonOf(headers: IncomingHttpHeaders, raw: Buffer): unknown {
  const isJson = /^application\/(problem\+)?json/.test(headers['content-type'] ?? '')
  return isJson && !headers['content-encoding'] && raw.length > 0 ? JSON.parse(raw.toString()) : undefined
}
