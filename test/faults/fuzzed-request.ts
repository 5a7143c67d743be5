import fc, { type Arbitrary } from 'fast-check'
import { bodyOf, type Content } from './fuzzed-body.ts'
import { fuzzedHeaders } from './fuzzed-headers.ts'
import type { Known } from './known.ts'
import { percentEncoded } from './percent-encoded.ts'
import { nearlyValue, type Schema, spelled, valuesOf } from './schema-value.ts'
import { nearly, wildText } from './wild.ts'

/** An operation in the OpenAPI description. */
export interface Operation {
  method: string
  path: string
  parameters?: { name: string; in: string; schema: Schema }[]
  requestBody?: { content: Content }
}

export interface FuzzedRequest {
  operation: Operation
  method: string
  /** Path and query as sent. */
  target: string
  headers: Record<string, string>
  body: Buffer | undefined
  /** The cursor was not issued by a listing. */
  isForged?: true
}

/** How far from its schema a part of a request is. */
export type Manner = 'valid' | 'near' | 'wild'

/** Valid, nearly valid and wild requests of an operation. */
export function requestOf(operation: Operation, known: Known): Arbitrary<FuzzedRequest> {
  const ways = (['valid', 'near', 'wild'] as const).map((manner) => {
    const body = operation.requestBody ? bodyOf(operation.requestBody.content, manner, known) : NO_BODY
    const parts = fc.tuple(
      methodOf(operation, manner),
      targetOf(operation, manner, known),
      fuzzedHeaders(manner, known),
      body,
    )
    return {
      weight: { valid: 3, near: 2, wild: 1 }[manner],
      arbitrary: parts.map(([method, target, headers, { type, bytes }]) => ({
        operation,
        method,
        target,
        headers: { ...type, ...headers },
        body: bytes,
      })),
    }
  })
  return fc.oneof(...ways)
}

const NO_BODY = fc.oneof(
  { weight: 20, arbitrary: fc.constant({ type: {}, bytes: undefined }) },
  { weight: 1, arbitrary: fc.constant({ type: { 'content-type': 'application/json' }, bytes: Buffer.from('{}') }) },
)

const methodOf = ({ method }: Operation, manner: Manner): Arbitrary<string> =>
  manner === 'wild'
    ? fc.oneof(
        { weight: 9, arbitrary: fc.constant(method) },
        fc.constantFrom('PROPFIND', 'TRACE', 'OPTIONS', 'PATCH', 'QUERY'),
      )
    : fc.constantFrom(method, method === 'GET' ? 'HEAD' : method, method)

function targetOf({ path, parameters = [] }: Operation, manner: Manner, known: Known): Arbitrary<string> {
  const textOf = (name: string, values: Arbitrary<unknown>) => {
    const valid = values.map(spelled)
    if (manner === 'valid') return valid
    if (manner === 'near')
      return fc.oneof({ weight: 3, arbitrary: valid }, nearly(valid), nearlyValue(values).map(spelled))
    return fc.oneof(valid, nearly(valid), wildText, fc.constant(name))
  }
  const segments = path.split('/').map((segment, _at, all) => {
    if (!segment.startsWith('{')) return fc.constant(segment)
    const names = known.paths[all[2] ?? ''] ?? ['x']
    return textOf(segment, fc.constantFrom(...names, '01890000-0000-7000-8000-000000000000', 'nothing')).map(
      percentEncoded,
    )
  })
  const query = parameters
    .filter((parameter) => parameter.in === 'query')
    .map(({ name, schema }) =>
      fc.option(
        textOf(name, valuesOf(schema, known.samples, name)).map((text) => [name, text] as const),
        { freq: 1 },
      ),
    )
  return fc
    .tuple(fc.tuple(...segments), fc.tuple(...query), manner === 'valid' ? fc.constant('') : oddity)
    .map(([parts, pairs, odd]) => {
      const given = pairs.flatMap((pair) => (pair ? [`${pair[0]}=${percentEncoded(pair[1])}`] : []))
      const text = [...given, ...(odd ? [odd] : [])].join('&')
      return parts.join('/') + (text && `?${text}`)
    })
}

/** Unexpected parts of a query, as sent. */
const oddity = fc.oneof(
  { weight: 8, arbitrary: fc.constant('') },
  fc.constantFrom(
    '&&',
    '=',
    '%',
    '%zz',
    'limit=%00',
    'limit=1&limit=2',
    'pool[]=a',
    'pool[a]=b',
    'pool=%ff',
    '?',
    'a;b=c',
  ),
  fc.constantFrom(
    '__proto__=1',
    'constructor=1',
    '__proto__[a]=1',
    'cursor=&cursor=',
    'pool=default&pool=fuzz',
    'limit=',
  ),
  wildText.map((text) => `${percentEncoded(text)}=1`),
)
