import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import type { Test } from 'tap'

/* Servers that stand for systems which cannot be had in the tests. They are strict: they refuse what the real system refuses. */

export interface Call {
  method: string
  path: string
  query: URLSearchParams
  headers: IncomingMessage['headers']
  /** Undefined if the body is empty. */
  text: string | undefined
}

export interface Reply {
  status: number
  json?: unknown
}

/** A user of the system, in the members that tests compare. `id` is the system's. */
export interface FakeUser {
  id: string
  username: string
  email: string
  role: string
  /** The hash as the system stores it. */
  hash: string
  /** Our id. Undefined: a user of the system's own. */
  mark: string | undefined
  /** The roles of the registration for an application. Undefined: there is none. */
  roles?: string[]
}

/** What happens to a request: `lose` breaks the connection after it was carried out. */
export type Disturbance = 'lose' | { status: number; headers?: Record<string, string>; text?: string } | undefined

export interface FakeSystem {
  url: string
  users: Map<string, FakeUser>
  /** Decides what happens to the next request, by its number. */
  disturb: (n: number, call: Call) => Disturbance
}

/** Thrown by a fake for a request that the real system refuses. */
export class Refused extends Error {
  readonly reply: Reply

  constructor(status: number, json: unknown = { error: 'refused' }) {
    super(`refused with ${status}`)
    this.reply = { status, json }
  }
}

export async function startFake(
  t: Test,
  answer: (call: Call, users: Map<string, FakeUser>) => Reply,
): Promise<FakeSystem> {
  const users = new Map<string, FakeUser>()
  let count = 0
  const server = createServer(async (request, response) => {
    const { pathname: path, searchParams: query } = new URL(request.url ?? '', 'http://fake')
    const body = await buffer(request).catch(() => undefined)
    if (!body) return response.destroy()
    const { method = '', headers } = request
    const call = { method, path, query, headers, text: body.length > 0 ? body.toString() : undefined }
    const disturbance = system.disturb(++count, call)
    if (typeof disturbance === 'object')
      return response.writeHead(disturbance.status, disturbance.headers).end(disturbance.text)
    const { status, json } = tryAnswer(call)
    if (disturbance === 'lose') return response.destroy()
    response.writeHead(status, { 'content-type': 'application/json' })
    return response.end(json === undefined ? undefined : JSON.stringify(json))
  })
  function tryAnswer(call: Call): Reply {
    try {
      return answer(call, users)
    } catch (error) {
      if (error instanceof Refused) return error.reply
      throw error
    }
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const system: FakeSystem = { url, users, disturb: () => undefined }
  return system
}

/** Throws Refused if an object has other members than these. */
export function exactly(value: unknown, required: string[], optional: string[] = []): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Refused(400)
  const names = Object.keys(value)
  const isRight =
    required.every((name) => names.includes(name)) && names.every((name) => [...required, ...optional].includes(name))
  if (!isRight) throw new Refused(400, { error: `members ${names.join(', ')}` })
  return value as Record<string, unknown>
}

export const listOf = (value: unknown): unknown[] => {
  if (!Array.isArray(value)) throw new Refused(400)
  return value
}

/** Whether another user has one of these values. */
export const isTaken = (users: Map<string, FakeUser>, id: string | undefined, values: Partial<FakeUser>): boolean =>
  [...users.values()].some(
    (user) => user.id !== id && Object.entries(values).some(([name, value]) => user[name as keyof FakeUser] === value),
  )
