import { pbkdf2Sync, randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import type { Sql } from 'postgres'
import type { Test } from 'tap'

/**
 * A system under test with logins on Django's table: a form that needs a CSRF token and its cookie, a JSON login and a token endpoint.
 * As Django does, it hashes a password again at the login if its hash has not the iterations of its settings.
 */
export async function startLoginSystem(t: Test, sql: Sql, iterations: number) {
  const tokens = new Set<string>()
  const bodies: string[] = []

  async function verifies(username: string | null, password: string | null): Promise<boolean> {
    const [row] = await sql<{ id: number; password: string }[]>`
      select id, password from auth_user where username = ${username ?? ''}`
    const [, rounds, salt = '', hash] = row?.password.split('$') ?? []
    if (!row || hash !== derive(password ?? '', salt, Number(rounds))) return false
    if (Number(rounds) !== iterations) {
      const next = `pbkdf2_sha256$${iterations}$${salt}$${derive(password ?? '', salt, iterations)}`
      await sql`update auth_user set password = ${next} where id = ${row.id}`
    }
    return true
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request)
    if (body !== '') bodies.push(body)
    const fields = new URLSearchParams(body)
    if (request.url === '/login/' && request.method === 'GET') return showForm(response)
    if (request.url === '/broken/') return showBroken(request, response)
    if (request.url === '/login/') {
      const token = fields.get('csrf') ?? ''
      if (!tokens.has(token) || !request.headers.cookie?.includes(`csrf=${token}`)) {
        response.writeHead(403).end()
      } else if (await verifies(fields.get('user'), fields.get('pass'))) {
        response.writeHead(302, { location: '/home/' }).end()
      } else {
        showForm(response)
      }
      return
    }
    const json = request.url === '/json' ? JSON.parse(body) : undefined
    const isRight = json
      ? await verifies(json.login.name, json.login.secret)
      : fields.get('client_id') === 'app' && (await verifies(fields.get('username'), fields.get('password')))
    response.writeHead(isRight ? 200 : 401, { 'content-type': 'application/json' }).end('{}')
  }

  function showForm(response: ServerResponse): void {
    const token = randomBytes(8).toString('hex')
    tokens.add(token)
    response.writeHead(200, { 'content-type': 'text/html', 'set-cookie': ['a=b; Path=/', `csrf=${token}; HttpOnly`] })
    response.end(`<form action="/search"><input name="user"></form>
      <form method=post><INPUT TYPE=hidden name='csrf' value="${token}"><input name=user><input name="pass" type="password"></form>`)
  }

  /** A form that leads to no URL. */
  function showBroken({ method }: IncomingMessage, response: ServerResponse): void {
    if (method === 'POST') response.writeHead(302, { location: 'http://[' }).end()
    else response.end('<form><input name="user"><input name="pass"></form>')
  }

  const server = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, bodies }
}

const derive = (password: string, salt: string, iterations: number) =>
  pbkdf2Sync(password, salt, iterations, 32, 'sha256').toString('base64')
