import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import type { FastifyError, FastifyRequest } from 'fastify'
import type { Static, TSchema } from 'typebox'
import { type FieldError, invalidRequest, MAX_FAULTS } from '../errors.ts'

/** How requests are validated. */
export const AJV_OPTIONS = {
  allErrors: false,
  removeAdditional: false,
  useDefaults: true,
  strict: false,
  validateFormats: false,
  validateSchema: false, // the schemas are our own, and compiling JSON Schema's meta-schema takes 0.1 s
} as const

const thorough = { ...AJV_OPTIONS, allErrors: true, verbose: true }
const bodies = new Ajv({ ...thorough, coerceTypes: false })
const texts = new Ajv({ ...thorough, coerceTypes: true })

/**
 * Returns a function that validates a value as a request is validated, for values that do not come as the part of a request. `path`
 * is the place of the value in the request. The function returns the value, or throws `invalid_request` with every invalid member.
 */
export function schemaReader<Schema extends TSchema>(schema: Schema, path: string): (value: unknown) => Static<Schema> {
  let validate: ValidateFunction<Static<Schema>> | undefined // compiled by the first call, which may never come
  return (value) => {
    validate ??= bodies.compile<Static<Schema>>(schema)
    if (validate(value)) return value
    throw invalidRequest(fieldErrors(validate.errors ?? [], path).slice(0, MAX_FAULTS))
  }
}

declare module 'fastify' {
  interface FastifyRequest {
    /** The decoded size of a JSON body. Undefined before it is read, and without one. */
    bodyBytes: number | undefined
  }
}

/** Bodies up to this size, in bytes, are checked for all faults: Ajv does not limit how many it collects. */
const MAX_LISTED_BODY = 65_536

/** Validators that collect all faults, by schema. They are slower, so they are compiled and used only for an invalid request. */
const validators = new WeakMap<object, ValidateFunction>()

/** Returns every invalid member of a request that failed validation. Fastify's error has the first one of the first part. */
export function fieldErrorsOf({ validation, validationContext }: FastifyError, request: FastifyRequest): FieldError[] {
  const all = everyFault(request)
  const first = { part: validationContext ?? 'request', faults: validation ?? [] }
  return (all.length > 0 ? all : [first]).flatMap(({ part, faults }) => fieldErrors(faults, part)).slice(0, MAX_FAULTS)
}

function everyFault(request: FastifyRequest): { part: string; faults: ErrorObject[] }[] {
  const { schema = {} } = request.routeOptions
  const { params, query, body, headers, bodyBytes = 0 } = request
  const isListed = bodyBytes > 0 && bodyBytes <= MAX_LISTED_BODY
  const parts = [
    { part: 'params', shape: schema.params, value: params },
    { part: 'body', shape: isListed ? schema.body : undefined, value: body },
    { part: 'querystring', shape: schema.querystring, value: query },
    { part: 'headers', shape: schema.headers, value: headers },
  ]
  return parts.flatMap(({ part, shape, value }) => {
    if (typeof shape !== 'object' || shape === null) return []
    const validate = validators.get(shape) ?? (part === 'body' ? bodies : texts).compile(shape)
    validators.set(shape, validate)
    return validate(value) ? [] : [{ part, faults: withoutAlternatives(validate.errors ?? []) }]
  })
}

/** Whether this is the fault of an `anyOf` of more than a schema and null. */
const isChoice = ({ keyword, schema }: ErrorObject) =>
  keyword === 'anyOf' && !(Array.isArray(schema) && schema.length === 2 && schema.some(({ type }) => type === 'null'))

/** Leaves out why each schema of an `anyOf` does not match: the fault of the `anyOf` itself names all of them. */
function withoutAlternatives(faults: ErrorObject[]): ErrorObject[] {
  const choices = faults.filter(isChoice).map(({ schemaPath }) => `${schemaPath}/`)
  return faults.filter(({ schemaPath }) => !choices.some((choice) => schemaPath.startsWith(choice)))
}

/** What the schemas of an `anyOf` accept, for a message: their values, or their types with the limit of texts. */
const alternatives = (schemas: Alternative[]) =>
  schemas
    .flatMap(({ const: value, enum: values, type = 'another form', maxLength }) => {
      if (value !== undefined) return [value]
      return values ?? [maxLength === undefined ? type : `${type} of at most ${maxLength} characters`]
    })
    .filter((each, index, all) => all.indexOf(each) === index)
    .join(', ')

interface Alternative {
  type?: string
  const?: unknown
  enum?: unknown[]
  maxLength?: number
}

interface Shape {
  description?: string
  type?: string
  minimum?: number
  maximum?: number
  anyOf?: Alternative[]
}

type ValidationFault = NonNullable<FastifyError['validation']>[number] & { parentSchema?: object | undefined }

/** A member that may be null has three faults for Ajv: its own, that it is not null, and that neither fits. The client gets one. */
function fieldErrors(faults: ValidationFault[], context: string): FieldError[] {
  const isNoNull = ({ keyword, params }: ValidationFault) => keyword === 'type' && params['type'] === 'null'
  const nullable = new Set(faults.filter(isNoNull).map(({ instancePath }) => instancePath))
  return faults
    .filter((fault) => !nullable.has(fault.instancePath) || !(isNoNull(fault) || fault.keyword === 'anyOf'))
    .map((fault) => fieldError(fault, context, nullable.has(fault.instancePath) ? ' or null' : ''))
}

/** Turns Ajv's fault into one for the client: the path as in the request, and unknown members by name. */
function fieldError(fault: ValidationFault, context: string, otherwise: string): FieldError {
  const { keyword, instancePath, params, message, parentSchema } = fault
  const member = params['additionalProperty'] ?? params['missingProperty']
  const path = instancePath.slice(1).replaceAll('/', '.')
  const place = [context, path, member].filter((part) => part !== undefined && part !== '').join('.')
  if (keyword === 'additionalProperties') return { path: place, code: 'unknown_member', message: 'is not known here' }
  if (keyword === 'required') return { path: place, code: 'missing_member', message: 'is missing' }
  if (keyword === 'type' && params['type'] === 'object')
    return { path: place, code: keyword, message: 'must be a JSON object' }
  const { description, type, minimum, maximum, anyOf } = (parentSchema ?? {}) as Shape
  if (keyword === 'anyOf' && anyOf)
    return { path: place, code: keyword, message: `must be one of: ${alternatives(anyOf)}` }
  if (
    type === 'integer' &&
    /^(type|minimum|maximum)$/.test(keyword) &&
    minimum !== undefined &&
    maximum !== undefined
  ) {
    const message = `must be a whole number from ${minimum} to ${maximum}${otherwise}`
    return { path: place, code: keyword, message }
  }
  if (keyword === 'pattern' && description) return { path: place, code: keyword, message: `must be: ${description}` }
  const allowed = Array.isArray(params['allowedValues']) ? `: ${params['allowedValues'].join(', ')}` : ''
  return { path: place, code: keyword, message: `${message ?? 'is wrong'}${allowed}${otherwise}` }
}
