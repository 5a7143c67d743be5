import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { ERRORS, type ErrorCode, type Problem } from '../../errors.ts'
import { readProblem } from '../../http/error-responses.ts'
import { koPage, PAGE_HEADERS } from './page.ts'
import type { StsParameters } from './parameters.ts'

/**
 * What the Simple Table Server knows too, and answers with 200: scripts repeat a READ until the title is OK, without failed samples. All
 * other errors, such as a wrong key, have their own status.
 */
const ANSWERED_WITH_200 = new Set<ErrorCode>(['invalid_request', 'pool_not_found', 'users_exhausted', 'lease_lost'])

/** Answers an error in the form of the Simple Table Server: `<title>KO</title>`, and a sentence that begins with its own, if it has one. */
export function answerKo(error: FastifyError, request: FastifyRequest, reply: FastifyReply) {
  const problem = readProblem(error, request)
  return reply
    .code(ANSWERED_WITH_200.has(problem.code) ? 200 : ERRORS[problem.code].status)
    .headers({ ...problem.headers, ...PAGE_HEADERS })
    .send(koPage(sentenceOf(problem, request)))
}

function sentenceOf(problem: Problem, { query }: FastifyRequest): string {
  const { code, message, members, errors } = problem
  const { FILENAME, pool = 'default' } = (query ?? {}) as StsParameters
  switch (code) {
    case 'users_exhausted':
      return `No more line ! ${countsOf(members)}`
    case 'pool_not_found':
      return `${FILENAME ?? 'The file'} not loaded yet ! Create the pool ${pool} and its users, or use a key that may lease from it.`
    case 'lease_lost':
      return 'The time of the line was over, and another reader may have it. Read a new one, and set a longer TTL.'
    case 'media_type_unsupported':
      return 'Send parameters in the query, or as application/x-www-form-urlencoded.'
    case 'invalid_request':
      return errors ? `${message.replaceAll('querystring.', '')}.` : message
    case 'route_not_found':
      return message
    default:
      return `${ERRORS[code].title}. ${message}`
  }
}

function countsOf({ free, leased, dirty, consumed, next_expiry: next }: Problem['members']): string {
  const counts = `${free} users are free, ${leased} leased, ${dirty} dirty and ${consumed} consumed.`
  return next ? `${counts} The next lease ends at ${next}, or sooner by ADD or INITFILE.` : counts
}
