import { Parser } from 'htmlparser2'
import { asPeerError, request } from '../../client/peer.ts'
import type { Canary } from './canary-settings.ts'

/** A user with what it logs in with. */
export interface Login {
  username: string
  email: string
  password: string
}

/** How long a login may take. */
const LOGIN_MS = 10_000

/** Maximum size of a page that is read. */
const MAX_PAGE = 1024 * 1024

/** Why a login failed. The text goes to clients and contains no password and nothing that the system sent. */
export type LoginFault = string

/**
 * Logs a user in over HTTP. Returns why it failed, undefined if it did not, and how long the request with the password took, in
 * milliseconds. Throws PeerError if the system does not answer, and the reason of `signal`.
 */
export async function logIn(
  canary: Extract<Canary, { url: string }>,
  user: Login,
  signal: AbortSignal,
): Promise<{ fault: LoginFault | undefined; ms: number }> {
  const call = caller(signal)
  if (canary.kind === 'form') return await sendForm(call, canary, user)
  const isJson = canary.kind === 'json'
  const { body = { username: '{username}', password: '{password}' } } = canary.kind === 'json' ? canary : {}
  const { client_id = '', scope } = canary.kind === 'oidc_password' ? canary : {}
  const grant = { grant_type: 'password', client_id, username: user.username, password: user.password }
  const started = performance.now()
  const answer = await call(canary.url, {
    method: 'POST',
    headers: { 'content-type': isJson ? 'application/json' : FORM, accept: 'application/json' },
    body: isJson
      ? JSON.stringify(filled(body, user))
      : new URLSearchParams({ ...grant, ...(scope && { scope }) }).toString(),
  })
  const ms = performance.now() - started
  const isOk = answer.status >= 200 && answer.status < 300
  return { fault: isOk ? undefined : `The login answers with status ${answer.status}.`, ms }
}

const FORM = 'application/x-www-form-urlencoded'

/**
 * Opens the page of a form, and sends the form with its hidden fields (such as a CSRF token) and the page's cookies. The login fails if
 * the answer is an error, the form once more, or leads back to it.
 */
async function sendForm(
  call: Call,
  { url, fields = { username: '{username}', password: '{password}' } }: Extract<Canary, { kind: 'form' }>,
  user: Login,
): Promise<{ fault: LoginFault | undefined; ms: number }> {
  const page = await call(url, { method: 'GET', headers: { accept: 'text/html' } })
  if (page.status !== 200) return { fault: `The page of the form answers with status ${page.status}.`, ms: 0 }
  const names = Object.keys(fields)
  const form = findForm(page.text, names)
  if (!form) return { fault: `The page has no form with the fields ${names.join(', ')}.`, ms: 0 }
  const action = URL.parse(form.action ?? url, url)
  if (action?.origin !== new URL(url).origin) return { fault: 'The form is sent to another host.', ms: 0 }
  const body = new URLSearchParams({ ...form.hidden, ...(filled(fields, user) as Record<string, string>) })
  const started = performance.now()
  const answer = await call(action.href, {
    method: 'POST',
    headers: { 'content-type': FORM, accept: 'text/html', cookie: page.cookies, referer: url },
    body: body.toString(),
  })
  const ms = performance.now() - started
  if (answer.status >= 400) return { fault: `The form answers with status ${answer.status}.`, ms }
  // 307 and 308 ask for the same request elsewhere, so nobody is logged in yet.
  if (answer.status > 303 && answer.status < 400)
    return { fault: `The form answers with the redirection ${answer.status}: give the url that it leads to.`, ms }
  const back = answer.location !== undefined && pathOf(answer.location, action.href) === pathOf(url, url)
  const isAgain = answer.status < 300 && findForm(answer.text, names) !== undefined
  return { fault: back || isAgain ? 'The system shows the form again.' : undefined, ms }
}

/** The path of a URL without the slash at its end. */
const pathOf = (url: string, base: string) => URL.parse(url, base)?.pathname.replace(/\/$/, '')

interface Form {
  action: string | undefined
  hidden: Record<string, string>
}

/** Returns the first form of a page that has all these fields. */
function findForm(html: string, names: string[]): Form | undefined {
  let form: (Form & { names: Set<string> }) | undefined
  let found: Form | undefined
  const parser = new Parser({
    onopentag(tag, { name, type, value = '', action }) {
      if (tag === 'form') form = { action: action || undefined, hidden: {}, names: new Set() }
      if (tag !== 'input' || !form || name === undefined) return
      form.names.add(name)
      if (type?.toLowerCase() === 'hidden') form.hidden[name] = value
    },
    onclosetag(tag) {
      if (tag !== 'form' || !form) return
      if (names.every((name) => form?.names.has(name))) found ??= form
      form = undefined
    },
  })
  parser.end(html)
  return found
}

/** JSON with the placeholders of its texts filled in. */
function filled(value: unknown, user: Login): unknown {
  if (typeof value === 'string')
    return value.replace(/\{(username|email|password)\}/g, (_, name) => user[name as keyof Login])
  if (Array.isArray(value)) return value.map((item) => filled(item, user))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, filled(item, user)]))
}

interface PageAnswer {
  status: number
  location: string | undefined
  cookies: string
  text: string
}

type Call = (
  url: string,
  options: { method: 'GET' | 'POST'; headers: Record<string, string>; body?: string },
) => Promise<PageAnswer>

/** The name and value of a Set-Cookie header, without its attributes. */
const pairOf = (cookie: string) => cookie.split(';', 1)[0]?.trim() ?? ''

/** Sends requests that follow no redirect: the password goes to the listed host only. */
function caller(signal: AbortSignal): Call {
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(LOGIN_MS)])
  return async (url, { body, ...options }) => {
    try {
      const answer = await request(url, {
        ...options,
        body: body ?? null,
        signal: deadline,
        headersTimeout: LOGIN_MS,
        bodyTimeout: LOGIN_MS,
      })
      let text = ''
      for await (const part of answer.body.setEncoding('utf8')) {
        text += part
        if (text.length > MAX_PAGE) break
      }
      const { location, 'set-cookie': cookies = [] } = answer.headers
      return {
        status: answer.statusCode,
        location: location?.toString(),
        cookies: [cookies].flat().map(pairOf).join('; '),
        text,
      }
    } catch (error) {
      signal.throwIfAborted()
      throw asPeerError(error)
    }
  }
}
