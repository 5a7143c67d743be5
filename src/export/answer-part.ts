import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Cursors, setNextLink } from '../http/pagination.ts'
import { sendWithoutBody } from '../http/replies.ts'
import { CACHING_HEADERS, stateHeaders } from './answer-headers.ts'
import type { Exports } from './exports.ts'
import { directStream } from './open-export.ts'
import { type PartQuery, readPartRequest } from './part-request.ts'
import { type ExportObserver, sendNotModified } from './send-not-modified.ts'

interface Parts {
  cursors: Cursors
  exports: Exports
  observer: ExportObserver
}

/**
 * Answers with one part of a file for a system under test. A HEAD finds the same end of the part, the same next part and the same
 * users that the system does not take.
 */
export async function answerPart(
  request: FastifyRequest,
  reply: FastifyReply,
  query: PartQuery,
  { cursors, exports, observer }: Parts,
): Promise<FastifyReply> {
  const partRequest = readPartRequest(request, query)
  const { format, isMatch } = partRequest
  const present = await exports.currentScope(partRequest)
  const listing = `export ${present.poolId} ${partRequest.file}`
  const after = cursors.decode(listing, query.part)
  if (format.hasPasswords) reply.header('usersync-pool-created', present.poolCreatedAt)
  if (isMatch(present.state)) return sendNotModified(reply, present.state, observer)
  const part = await exports.openPart(partRequest, after)
  reply.headers(CACHING_HEADERS).headers(stateHeaders('full', undefined, part.state))
  reply.type(`${format.mediaType}; charset=utf-8`)
  if (part.next !== undefined) setNextLink(request, reply, 'part', cursors.encode(listing, part.next))
  observer.exported({ kind: 'full' })
  if (request.method !== 'HEAD') return reply.send(directStream(part))
  await part.release()
  return sendWithoutBody(reply)
}
