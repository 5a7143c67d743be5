import { type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { Test } from 'tap'
import { fakeService } from './fake-service.ts'

/** A response on its way to the client. */
export interface Passing {
  status: number
  headers: IncomingMessage['headers']
  body: Buffer
}

/**
 * A proxy in front of a service, in place of a cache. `seen` has what was requested; `before` runs before a request is passed on, and
 * `change` may change its response.
 */
export async function between(t: Pick<Test, 'teardown'>, service: string) {
  const seen: { path: string; headers: IncomingMessage['headers'] }[] = []
  const hooks = {
    before: async (_path: string): Promise<unknown> => undefined,
    change: (_path: string, passing: Passing): Passing => passing,
  }
  const pass = async (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const path = incoming.url ?? ''
    seen.push({ path, headers: incoming.headers })
    await hooks.before(path)
    request(
      `${service}${path}`,
      { headers: { ...incoming.headers, host: new URL(service).host } },
      (answer) =>
        void answer.toArray().then((parts) => {
          const body = Buffer.concat(parts)
          const passing = hooks.change(path, { status: answer.statusCode ?? 0, headers: answer.headers, body })
          const { 'transfer-encoding': _, 'content-length': __, ...headers } = passing.headers
          outgoing.writeHead(passing.status, headers).end(passing.body)
        }),
    ).end()
  }
  const url = await fakeService(t, (incoming, outgoing) => void pass(incoming, outgoing))
  /** Returns the paths that were requested since the last call, states by their first digits, without queries. */
  const requested = () =>
    seen.splice(0).map(({ path }) => path.replace(/\?.*/, '').replaceAll(/u1-([0-9a-f]{4})[0-9a-f]{60}/g, '$1'))
  return { url, seen, hooks, requested }
}
