import type { Request, Service } from '../http/service.ts'

/** The `call` of a service in another process. */
export const call = (url: string): Service['call'] =>
  (async (method: string, path: string, { body, headers = {} }: Request = {}) => {
    const response = await fetch(url + path, {
      method,
      signal: AbortSignal.timeout(70_000),
      headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const raw = Buffer.from(await response.arrayBuffer())
    return { status: response.status, headers: {}, raw, json: raw.length > 0 ? JSON.parse(raw.toString()) : undefined }
  }) as Service['call']
