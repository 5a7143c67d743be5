/**
 * Everything a client can meet that is not a success. The codes are part of the interface: a code is never renamed, and
 * never used for another meaning.
 */
export const ERRORS = {
  invalid_json: { status: 400, title: 'The body is not valid JSON' },
  invalid_csv: { status: 400, title: 'The body is not valid CSV' },
  invalid_request: { status: 400, title: 'The request has members that are missing, unknown or wrong' },
  base_invalid: { status: 400, title: 'The base is not of the form of a state' },
  cursor_invalid: { status: 400, title: 'The cursor is not one that this listing gave' },
  export_cut: { status: 400, title: 'The export is not whole' },
  export_malformed: { status: 400, title: 'The body is not an NDJSON export' },
  import_credentials: { status: 400, title: 'Passwords and their hashes are not imported' },
  import_cut: { status: 400, title: 'The body to import is not whole' },
  import_not_full: { status: 400, title: 'Only a full export can be imported' },
  pattern_invalid: { status: 400, title: 'The username pattern cannot make these users' },
  unauthorized: { status: 401, title: 'A valid key is needed' },
  cross_site_request: { status: 403, title: 'A web page of another site may not change anything here' },
  forbidden: { status: 403, title: 'The key lacks the scope' },
  template_built_in: { status: 403, title: 'The template is built in and never changed' },
  user_protected: { status: 403, title: 'The user is not a test user and is never changed here' },
  route_not_found: { status: 404, title: 'There is nothing at this address' },
  pool_not_found: { status: 404, title: 'There is no such pool' },
  batch_not_found: { status: 404, title: 'There is no such batch in this pool' },
  target_not_found: { status: 404, title: 'There is no such target of this pool' },
  sync_run_not_found: { status: 404, title: 'There is no such run of this pool' },
  template_not_found: { status: 404, title: 'There is no such template in this pool' },
  user_not_found: { status: 404, title: 'There is no such user in this pool' },
  method_not_allowed: { status: 405, title: 'This address does not take this method' },
  not_acceptable: { status: 406, title: 'None of the accepted forms can be made' },
  request_timeout: { status: 408, title: 'The request took too long to arrive' },
  base_mismatch: { status: 409, title: 'The export leads on from another state than the pool holds' },
  import_conflict: { status: 409, title: 'A user to import is in the way of another' },
  pool_exists: { status: 409, title: 'There is a pool of this name' },
  pool_in_use: { status: 409, title: 'The pool holds users that are protected, or unfinished batches' },
  target_exists: { status: 409, title: 'There is a target of this name' },
  target_limit: { status: 409, title: 'The pool has as many targets as it may' },
  pool_is_replica: { status: 409, title: 'The pool is a replica and takes its users from exports alone' },
  pool_not_replica: { status: 409, title: 'The pool is no replica' },
  template_exists: { status: 409, title: 'There is a template of this name' },
  template_limit: { status: 409, title: 'The pool has as many templates as it may' },
  user_exists: { status: 409, title: 'Another user of the pool has this username or email' },
  body_too_large: { status: 413, title: 'The body is too large' },
  media_type_unsupported: { status: 415, title: 'The body is of a media type that is not taken here' },
  misdirected_request: { status: 421, title: 'The request is for another host' },
  export_invalid: { status: 422, title: 'The export has lines that are not those of users' },
  state_mismatch: { status: 422, title: 'The users do not add up to the state that the export names' },
  import_invalid: { status: 422, title: 'The import has rows that cannot be taken' },
  idempotency_key_reused: { status: 422, title: 'The idempotency key came with another body before' },
  user_too_large: { status: 422, title: 'A user line would be longer than 1 MiB' },
  domain_not_reserved: { status: 422, title: 'Test users may only have addresses of reserved domains' },
  rate_limited: { status: 429, title: 'The key has sent as many requests as it may for now' },
  headers_too_large: { status: 431, title: 'The headers are too large' },
  internal_error: { status: 500, title: 'The service met a fault of its own' },
  target_failed: { status: 502, title: 'The target gave no answer that can be used' },
  database_unavailable: { status: 503, title: 'The database cannot be reached at the moment' },
  overloaded: { status: 503, title: 'The service has as much work as it takes at once' },
  shutting_down: { status: 503, title: 'The service is stopping' },
} as const

export type ErrorCode = keyof typeof ERRORS

/** A fault of one member of the request: where, a stable code, and what is expected there. */
export interface MemberFault {
  path: string
  code: string
  message: string
}

/** The most faults of a request that its answer lists. */
export const MOST_FAULTS = 20

/** An answer of the catalogue, thrown. `detail` goes to the client: it says what to do and carries no secret. */
export class Problem extends Error {
  override name = 'Problem'
  readonly code: ErrorCode
  readonly errors: MemberFault[] | undefined
  readonly headers: Record<string, string>
  /** What the answer tells besides, under names of its own (RFC 9457 section 3.2). */
  readonly members: Record<string, string>

  constructor(
    code: ErrorCode,
    detail: string,
    options: {
      errors?: MemberFault[]
      headers?: Record<string, string>
      members?: Record<string, string>
      cause?: unknown
    } = {},
  ) {
    super(detail, { cause: options.cause })
    this.code = code
    this.errors = options.errors
    this.headers = options.headers ?? {}
    this.members = options.members ?? {}
  }
}
