import type { FastifyReply } from 'fastify'
import type { Plan } from './answer.ts'
import type { State } from './state.ts'

/** The headers that stand on every export whatever it says, and on the errors in its place. */
export function setCachingHeaders(reply: FastifyReply): void {
  reply.header('vary', 'accept, accept-encoding, authorization').header('cache-control', 'private, no-cache')
}

/** The headers that tell what the answer is: enough for a client that reads no body. */
export function setStateHeaders(reply: FastifyReply, kind: Plan['kind'], base: State | undefined, state: State): void {
  reply
    .header('etag', `W/"${state}"`)
    .header('usersync-kind', kind)
    .header('usersync-base', base ?? 'none')
    .header('usersync-state', state)
}
