import { subscribe } from 'node:diagnostics_channel'
import { appendFileSync, existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { HEADERS } from '../src/http/openapi/headers.ts'

/** The description that a service of the run serves. */
export const DESCRIPTION = 'openapi.json'

/** The end of the names of files with answers, one per line. */
export const ANSWERED = '.answered'

/** One kind of answer. */
export interface Answered {
  method: string
  /** The path of the route as in the description. */
  path: string
  status: string
  /** The media type; empty without a body. */
  type: string
  /** The code of a problem; otherwise empty. */
  code: string
  /** The described headers that it has, in lower case. */
  headers: string[]
}

/** Without Cache-Control: it is `no-store` on every problem, and only exports may be stored. */
const DESCRIBED = Object.keys(HEADERS)
  .map((name) => name.toLowerCase())
  .filter((name) => name !== 'cache-control')

/**
 * Records each kind of answer of the services in this process in a file in `folder`, and what they serve as their description. After
 * all tests, cluster-stop.ts compares the two.
 */
export function recordAnswers(folder: string, self: string): void {
  const seen = new Set<string>()
  const codes = new WeakMap<FastifyRequest, string>()
  const keep = (request: FastifyRequest, reply: FastifyReply) => {
    const { url, schema } = request.routeOptions
    if (url === undefined || schema?.hide || !reply.raw.headersSent || !request.server.hasDecorator('swagger')) return
    const answer: Answered = {
      method: request.method.replace('HEAD', 'GET'),
      path: url.replace(/:(\w+)/g, '{$1}'),
      status: String(reply.statusCode),
      type: String(reply.getHeader('content-type') ?? '').replace(/;.*/, ''),
      code: codes.get(request) ?? '',
      headers: DESCRIBED.filter((name) => reply.hasHeader(name)),
    }
    const line = JSON.stringify(answer)
    if (seen.has(line)) return
    seen.add(line)
    appendFileSync(join(folder, self + ANSWERED), `${line}\n`)
  }
  subscribe('fastify.initialization', (message) => {
    const { fastify } = message as { fastify: FastifyInstance }
    fastify.addHook('onSend', (request, reply, payload, next) => {
      const isProblem = String(reply.getHeader('content-type')).startsWith('application/problem+json')
      if (isProblem && typeof payload === 'string') codes.set(request, JSON.parse(payload).code)
      next(null, payload)
    })
    fastify.addHook('onResponse', (request, reply, next) => {
      keep(request, reply)
      next()
    })
    fastify.addHook('onClose', (app, closed) => {
      const file = join(folder, DESCRIPTION)
      if (app.hasDecorator('swagger') && !existsSync(file)) writeFileSync(file, JSON.stringify(app.swagger()))
      closed()
    })
  })
}
