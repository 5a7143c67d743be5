import type { FastifyReply } from 'fastify'
import { sendHead } from '../http/compression.ts'
import type { State } from '../protocol/state.ts'
import type { Plan } from './answer.ts'
import { unchangedHeaders } from './answer-headers.ts'

/** Receives each export that was served, 304 included. */
export interface ExportObserver {
  exported(plan: Pick<Plan, 'kind'> & Partial<Plan>): void
}

/** Answers 304: the client has this state. */
export function sendNotModified(reply: FastifyReply, state: State, observer: ExportObserver): FastifyReply {
  observer.exported({ kind: 'unchanged' })
  return sendHead(reply, 304, unchangedHeaders(state))
}
