import { randomBytes } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

/**
 * A system under test with accounts. It refuses a second session of an account that has one, as banks and games do, so it notices if two
 * virtual users have the same account at the same time.
 */
export interface Shop {
  url: string
  port: number
  /** What happened so far. */
  seen: Seen
  /** Resolves when this many accounts have logged in and the shop has answered this many pages to sessions. */
  sees(accounts: number, pages: number): Promise<void>
  close(): Promise<void>
}

interface Seen {
  /** Logins of each account. */
  logins: Map<string, number>
  /** Accounts with a session now, by its token. */
  sessions: Map<string, string>
  mostSessions: number
  /** Logins that were refused because the account had a session. */
  refused: number
  /** Logins with a wrong password, an unknown account or without a token of the form. */
  failed: number
  /** Pages for sessions. */
  pages: number
}

const begin = (): Seen => ({ logins: new Map(), sessions: new Map(), mostSessions: 0, refused: 0, failed: 0, pages: 0 })

/** Starts a shop whose accounts have these names and one password. */
export async function startShop(accounts: Set<string>, password: string): Promise<Shop> {
  const seen = begin()
  const formTokens = new Set<string>()
  const changes = new EventEmitter()

  /** Returns the token of a new session, or the status of the refusal. */
  function logIn(name: unknown, given: unknown): string | 401 | 409 {
    if (typeof name !== 'string' || !accounts.has(name) || given !== password) {
      seen.failed++
      return 401
    }
    if ([...seen.sessions.values()].includes(name)) {
      seen.refused++
      return 409
    }
    const token = randomBytes(12).toString('hex')
    seen.sessions.set(token, name)
    seen.mostSessions = Math.max(seen.mostSessions, seen.sessions.size)
    seen.logins.set(name, (seen.logins.get(name) ?? 0) + 1)
    return token
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method, url, headers } = request
    const body = await text(request)
    const cookies = new Map((headers.cookie ?? '').split(/; */).map((each) => each.split('=', 2) as [string, string]))
    const token = /^Bearer (\S+)$/.exec(headers.authorization ?? '')?.[1] ?? cookies.get('session') ?? ''
    switch (`${method} ${url}`) {
      case 'GET /login': {
        const csrf = randomBytes(8).toString('hex')
        formTokens.add(csrf)
        const form = `<form method="post"><input type="hidden" name="csrf" value="${csrf}"><input name="username"><input name="password" type="password"></form>`
        response
          .writeHead(200, { 'content-type': 'text/html', 'set-cookie': `csrf=${csrf}; Path=/; HttpOnly` })
          .end(form)
        return
      }
      case 'POST /login': {
        const fields = new URLSearchParams(body)
        const csrf = fields.get('csrf') ?? ''
        if (cookies.get('csrf') !== csrf || !formTokens.delete(csrf)) {
          seen.failed++
          return void response.writeHead(403).end('no token of the form')
        }
        const session = logIn(fields.get('username'), fields.get('password'))
        if (typeof session === 'number') return void response.writeHead(session).end()
        response.writeHead(302, { location: '/me', 'set-cookie': `session=${session}; Path=/; HttpOnly` }).end()
        return
      }
      case 'POST /api/login': {
        const { username, password: given } = JSON.parse(body)
        const session = logIn(username, given)
        const status = typeof session === 'number' ? session : 200
        response.writeHead(status, { 'content-type': 'application/json' })
        response.end(JSON.stringify(status === 200 ? { token: session } : {}))
        return
      }
      case 'GET /me': {
        const name = seen.sessions.get(token)
        if (name === undefined) return void response.writeHead(401).end()
        seen.pages++
        response.writeHead(200, { 'content-type': 'text/plain' }).end(name)
        return
      }
      case 'POST /logout':
        response.writeHead(seen.sessions.delete(token) ? 204 : 401).end()
        return
      default:
        response.writeHead(404).end()
    }
  }

  const server = createServer((request, response) => {
    answer(request, response)
      .catch(() => response.writeHead(400).end())
      .finally(() => changes.emit('answer'))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    seen,
    async sees(count, pages) {
      while (seen.logins.size < count || seen.pages < pages) await once(changes, 'answer')
    },
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}
