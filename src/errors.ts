/**
 * Every error that a client can receive. The codes are part of the API: a code is never renamed and never reused for
 * another meaning.
 */
export const ERRORS = {
  invalid_json: { status: 400, title: 'The body is not valid JSON' },
  invalid_csv: { status: 400, title: 'The body is not valid CSV' },
  invalid_request: { status: 400, title: 'The request has missing, unknown or invalid members' },
  base_invalid: { status: 400, title: 'The base is not a valid state' },
  cursor_invalid: { status: 400, title: 'The cursor does not belong to this listing' },
  export_cut: { status: 400, title: 'The export is incomplete' },
  export_malformed: { status: 400, title: 'The body is not an NDJSON export' },
  import_credentials: { status: 400, title: 'Passwords, password hashes and TOTP secrets cannot be imported' },
  import_cut: { status: 400, title: 'The import is incomplete' },
  import_not_full: { status: 400, title: 'Only a full export can be imported' },
  pattern_invalid: { status: 400, title: 'The username pattern is invalid for this batch' },
  unauthorized: { status: 401, title: 'A valid API key is required' },
  cross_site_request: { status: 403, title: 'Cross-site requests cannot change anything' },
  forbidden: { status: 403, title: 'The API key lacks the required scope' },
  template_built_in: { status: 403, title: 'Built-in templates cannot be changed' },
  user_protected: { status: 403, title: 'The user is not a test user and cannot be changed' },
  route_not_found: { status: 404, title: 'Not found' },
  pool_not_found: { status: 404, title: 'Pool not found' },
  batch_not_found: { status: 404, title: 'Batch not found in this pool' },
  lease_not_found: { status: 404, title: 'Lease not found in this pool' },
  target_not_found: { status: 404, title: 'Target not found in this pool' },
  state_gone: { status: 404, title: 'The state is not the present one, or the base is not remembered' },
  sync_run_not_found: { status: 404, title: 'Sync run not found in this pool' },
  template_not_found: { status: 404, title: 'Template not found in this pool' },
  totp_not_found: { status: 404, title: 'The user has no TOTP secret' },
  user_not_found: { status: 404, title: 'User not found in this pool' },
  method_not_allowed: { status: 405, title: 'Method not allowed' },
  not_acceptable: { status: 406, title: 'None of the accepted media types is available' },
  request_timeout: { status: 408, title: 'The request took too long to arrive' },
  base_mismatch: { status: 409, title: 'The base of the export is not the current state of the pool' },
  import_conflict: { status: 409, title: 'The imported user conflicts with an existing user' },
  population_exists: { status: 409, title: 'The pool already has this population' },
  pool_exists: { status: 409, title: 'A pool with this name already exists' },
  pool_in_use: { status: 409, title: 'The pool has protected users or unfinished batches' },
  target_exists: { status: 409, title: 'A target with this name already exists' },
  target_holds_users: { status: 409, title: 'A system under test still has users of the pool' },
  target_limit: { status: 409, title: 'The pool has the maximum number of targets' },
  pool_is_replica: { status: 409, title: 'The pool is a replica and accepts users only from exports' },
  pool_not_replica: { status: 409, title: 'The pool is not a replica' },
  lease_lost: { status: 409, title: 'The lease is over' },
  users_exhausted: { status: 409, title: 'Not enough users are free' },
  template_exists: { status: 409, title: 'A template with this name already exists' },
  template_limit: { status: 409, title: 'The pool has the maximum number of templates' },
  user_exists: { status: 409, title: 'Another user of the pool has this username or email' },
  body_too_large: { status: 413, title: 'The body is too large' },
  media_type_unsupported: { status: 415, title: 'Unsupported media type' },
  misdirected_request: { status: 421, title: 'The request is for another host' },
  export_invalid: { status: 422, title: 'The export has invalid user lines' },
  state_mismatch: { status: 422, title: 'The users do not match the state that the export names' },
  import_invalid: { status: 422, title: 'The import has invalid rows' },
  idempotency_key_reused: { status: 422, title: 'The idempotency key was already used with another body' },
  lease_too_large: { status: 422, title: 'The users of the lease do not fit into one response' },
  user_too_large: { status: 422, title: 'The user line exceeds 1 MiB' },
  users_not_importable: { status: 422, title: 'The system under test cannot import some of the users' },
  domain_not_reserved: { status: 422, title: 'Test users must have email addresses in reserved domains' },
  rate_limited: { status: 429, title: 'The API key exceeds its rate limit' },
  headers_too_large: { status: 431, title: 'The headers are too large' },
  internal_error: { status: 500, title: 'Internal error' },
  target_failed: { status: 502, title: 'The target returned no usable response' },
  database_unavailable: { status: 503, title: 'The database is unavailable' },
  overloaded: { status: 503, title: 'The service is overloaded' },
  read_only: { status: 503, title: 'The database takes no writes at the moment' },
  shutting_down: { status: 503, title: 'The service is shutting down' },
} as const

export type ErrorCode = keyof typeof ERRORS

/** Codes of errors that pass, whose responses have `Retry-After`: see `retryLater`. */
type PassingCode = { [Code in ErrorCode]: (typeof ERRORS)[Code]['status'] extends 429 | 503 ? Code : never }[ErrorCode]

/** Codes of errors that do not pass by themselves. */
export type LastingCode = Exclude<ErrorCode, PassingCode>

/** One invalid member of a request: its path, a stable code, and what is expected there. */
export interface FieldError {
  path: string
  code: string
  message: string
}

/** Maximum number of invalid members that a response lists. */
export const MAX_FAULTS = 20

interface ProblemOptions {
  errors?: FieldError[]
  headers?: Record<string, string>
  members?: Record<string, string | number | null>
  cause?: unknown
}

/** An error of the catalogue. `detail` goes to the client: it says what to do and contains no secret. */
export class Problem extends Error {
  override name = 'Problem'
  readonly code: ErrorCode
  readonly errors: FieldError[] | undefined
  readonly headers: Record<string, string>
  /** Additional members of the response (RFC 9457 section 3.2). */
  readonly members: Record<string, string | number | null>

  constructor(code: LastingCode, detail: string, options?: ProblemOptions)
  constructor(code: ErrorCode, detail: string, options: ProblemOptions & { headers: { 'retry-after': string } })
  constructor(code: ErrorCode, detail: string, options: ProblemOptions = {}) {
    super(detail, { cause: options.cause })
    this.code = code
    this.errors = options.errors
    this.headers = options.headers ?? {}
    this.members = options.members ?? {}
  }
}

/** For invalid members of a request. The detail lists them. */
export function invalidRequest(errors: FieldError[], code: LastingCode = 'invalid_request'): Problem {
  const sentences = errors.map(({ path, message }) => `${path} ${message.replace(/\.$/, '')}`)
  return new Problem(code, sentences.join('; '), { errors })
}

/** For what may succeed later: the client may retry after this many seconds. */
export const retryLater = (code: ErrorCode, detail: string, seconds: number, cause?: unknown) =>
  new Problem(code, detail, { headers: { 'retry-after': String(seconds) }, cause })
