import type { IncomingMessage } from 'node:http'
import { hasBody } from './has-body.ts'

/** Whether a part of the request's body has not arrived yet, and may still do. */
export function bodyIsComing({ headers, complete, destroyed }: IncomingMessage): boolean {
  return !complete && !destroyed && hasBody(headers)
}
