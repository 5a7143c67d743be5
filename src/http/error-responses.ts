import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import plugin from 'fastify-plugin'
import {
  isBlocked,
  isDatabaseUnavailable,
  LIMIT_EXCEEDED,
  PROTECTED_USER,
  READ_ONLY_TRANSACTION,
  sqlState,
} from '../database/sqlstate.ts'
import { ERRORS, type ErrorCode, invalidRequest, type LastingCode, Problem, retryLater } from '../errors.ts'
import { TOO_LARGE } from '../protocol/longest-line.ts'
import { ContentError, type ContentFault } from '../protocol/text.ts'
import { UNDECODABLE_HELP, UNKNOWN_CODING_HELP, ZSTD_WINDOW_HELP, ZSTD_WINDOW_TOO_LARGE } from './decompress.ts'
import { fieldErrorsOf } from './field-errors.ts'

/** An import of node:http would load Node's own `fetch` too, which takes 2 MiB, and 30 ms of CPU time at every start. */
const { STATUS_CODES } = process.getBuiltinModule('node:http')

/** Turns whatever a route throws into a problem of the catalogue (RFC 9457). Unknown errors become a 500 and are logged. */
export const errorResponses = plugin(
  (app: FastifyInstance, _options, done) => {
    app.setErrorHandler(answerError)
    app.setNotFoundHandler((request, reply) => answer(routeNotFound(), request, reply))
    done()
  },
  { name: 'error-responses' },
)

/** For a URL without a route. */
export const routeNotFound = (detail = 'See /openapi.json or /docs for the available routes.') =>
  new Problem('route_not_found', detail)

const REFUSALS = new Set<ErrorCode>(['overloaded', 'shutting_down'])

/** Sends the response to an error, also to errors that Fastify finds before routing (`frameworkErrors`). */
export const answerError = (error: FastifyError, request: FastifyRequest, reply: FastifyReply) =>
  answer(readProblem(error, request), request, reply)

/** Returns the problem that an error is for the client, and logs it if it is the service's fault. */
export function readProblem(error: FastifyError, request: FastifyRequest): Problem {
  const problem = problemOf(error, request)
  // Expected rejections are not logged: under overload, a line with a stack for each would add load. A deadlock also becomes
  // `overloaded`, but is worth a line.
  if (ERRORS[problem.code].status >= 500 && (problem !== error || !REFUSALS.has(problem.code))) {
    request.log.error({ err: error, code: problem.code }, 'request failed')
  }
  return problem
}

/** Headers that may be set already, for a body of which nothing was sent. */
const OF_OTHER_ANSWERS = /^(etag|content-(encoding|length|disposition)|link|location|preference-applied|usersync-.*)$/

function answer(problem: Problem, request: FastifyRequest, reply: FastifyReply) {
  const { status, title } = ERRORS[problem.code]
  for (const name of Object.keys(reply.getHeaders())) if (OF_OTHER_ANSWERS.test(name)) reply.removeHeader(name)
  return reply
    .code(status)
    .headers(problem.headers)
    .header('cache-control', 'no-store')
    .type('application/problem+json')
    .serializer(JSON.stringify)
    .send({
      type: `urn:usersync:problem:${problem.code}`,
      title,
      status,
      detail: problem.message,
      instance: request.id,
      code: problem.code,
      ...(problem.errors && { errors: problem.errors }),
      ...problem.members,
    })
}

function problemOf(error: FastifyError, request: FastifyRequest): Problem {
  if (error instanceof Problem) return error
  if (error instanceof ContentError) return new Problem(CONTENT_CODES[error.fault], error.message, { cause: error })
  if (error.validation) return invalidRequest(fieldErrorsOf(error, request))
  return fastifyProblem(error) ?? databaseProblem(error) ?? internalProblem(error)
}

const CONTENT_CODES: Record<ContentFault, LastingCode> = {
  unknown_coding: 'media_type_unsupported',
  undecodable: 'invalid_request',
  too_large: 'body_too_large',
}

const FASTIFY_CODES: Record<string, [LastingCode, string]> = {
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: ['invalid_request', 'The body length does not match Content-Length.'],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: ['media_type_unsupported', 'Send the body as application/json.'],
  FST_CP_ERR_INVALID_CONTENT_ENCODING: ['media_type_unsupported', UNKNOWN_CODING_HELP],
  [ZSTD_WINDOW_TOO_LARGE]: ['invalid_request', ZSTD_WINDOW_HELP],
  FST_CP_ERR_INVALID_CONTENT: ['invalid_request', UNDECODABLE_HELP],
  FST_ERR_CTP_BODY_TOO_LARGE: ['body_too_large', 'The body is larger than this route accepts.'],
  FST_ERR_BAD_URL: ['invalid_request', 'The path has a malformed percent-encoding.'],
  FST_ERR_MAX_PARAM_LENGTH: ['route_not_found', 'A segment of the path is longer than any valid name.'],
}

function fastifyProblem(error: FastifyError): Problem | undefined {
  const known = FASTIFY_CODES[error.code]
  if (known) return new Problem(known[0], known[1], { cause: error })
  // By its code alone, this could be a lost database connection. The status says that Fastify met it in the request body.
  if (error.code === 'ECONNRESET' && error.statusCode === 400) {
    return new Problem('invalid_request', 'The connection closed before the end of the body.', { cause: error })
  }
  if (error instanceof SyntaxError && error.statusCode === 400) {
    return new Problem('invalid_json', 'The body could not be read as JSON.', { cause: error })
  }
  if (error.code?.startsWith('FST_') && error.statusCode !== undefined && error.statusCode < 500) {
    return new Problem('invalid_request', 'The request is malformed.', { cause: error })
  }
  return undefined
}

/** Values that pass the schema but that PostgreSQL rejects, by SQLSTATE. */
const REFUSED_VALUES: Record<string, string> = {
  '22021': 'A text contains U+0000, which cannot be stored.',
  '22P05': 'A text contains U+0000 or an unpaired surrogate, which cannot be stored.',
  '22P02': 'A text contains an unpaired surrogate, which cannot be stored.',
  '54001': 'A value is nested deeper than can be stored.',
  '22003': 'A number is larger than can be stored.',
  '23514': 'A value is too long or otherwise out of range for a user.',
}

/** Returns the problem that a database error is for a client. Undefined if it is an internal error. */
export function databaseProblem(error: unknown): Problem | undefined {
  const refusal = REFUSED_VALUES[sqlState(error) ?? '']
  if (refusal) return new Problem('invalid_request', refusal, { cause: error })
  if (sqlState(error) === LIMIT_EXCEEDED) {
    return new Problem('user_too_large', `A user ${TOO_LARGE}. Nothing was changed.`, { cause: error })
  }
  if (sqlState(error) === PROTECTED_USER) {
    return new Problem('user_protected', 'Only test users can be changed or deleted.', { cause: error })
  }
  if (sqlState(error) === READ_ONLY_TRANSACTION) {
    const detail =
      'The database takes no writes at the moment: it is a standby, or a switch-over is in progress. Nothing was changed; try again.'
    return retryLater('read_only', detail, 5, error)
  }
  if (isBlocked(error)) {
    const detail = 'Other work locked the same users for too long. Nothing was changed; try again.'
    return retryLater('overloaded', detail, 5, error)
  }
  return isDatabaseUnavailable(error)
    ? retryLater('database_unavailable', 'Try again in a moment.', 2, error)
    : undefined
}

const internalProblem = (error: Error) =>
  new Problem('internal_error', 'The log has the error under this instance.', { cause: error })

/** Answers what Node's parser rejects. */
export const answerClientError = (error: Error, socket: Socket): void =>
  answerAsLast(socket, (error as NodeJS.ErrnoException).code, beginsAsHead(error))

/**
 * Answers a request that cannot be read to its end, as the last response on its connection. Never writes into a response that has
 * begun, even one to an earlier request: a complete one is flushed, any other is cut. Node's own handler does the same, and also
 * uses `_httpMessage` to find it.
 */
export function answerAsLast(socket: Socket, errorCode: string | undefined, isHead: boolean): void {
  const { _httpMessage: begun } = socket as { _httpMessage?: ServerResponse | null }
  if (begun?.writableEnded) socket.destroySoon()
  else if (begun?.headersSent || !socket.writable) socket.destroy()
  else socket.end(clientErrorResponse(errorCode, isHead))
}

/** Whether a request that Node's parser rejected starts as a HEAD. Unknown if its head came in several packets. */
const beginsAsHead = (refused: unknown): boolean => {
  const { rawPacket } = refused as { rawPacket?: Buffer }
  return rawPacket?.toString('latin1', 0, 5) === 'HEAD '
}

/**
 * The response to what Node's parser rejects before a request exists; written to the socket directly. To a HEAD it has no body,
 * because the client would read one as the start of the next response.
 */
export function clientErrorResponse(errorCode: string | undefined, isHead: boolean): string {
  const codes: Record<string, ErrorCode> = {
    ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout',
    HPE_HEADER_OVERFLOW: 'headers_too_large',
  }
  const code = codes[errorCode ?? ''] ?? 'invalid_request'
  const { status, title } = ERRORS[code]
  const body = JSON.stringify({ type: `urn:usersync:problem:${code}`, title, status, detail: title, code })
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'content-type: application/problem+json',
    'x-content-type-options: nosniff',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
    '',
    isHead ? '' : body,
  ].join('\r\n')
}
