import type { RouteOptions } from 'fastify'
import { liftParameters, liftSchemas } from './components.ts'
import { type HeaderName, headerComponents, headers } from './headers.ts'
import { PROBLEM, problemResponses, problemsOf } from './problems.ts'

declare module 'fastify' {
  interface FastifySchema {
    /** The headers of successful responses, besides those that follow from the properties of the route. */
    responseHeaders?: readonly HeaderName[]
    /** A JSON body that works as it is. Required for each route with one. */
    example?: object
  }
}

interface Response {
  description: string
  headers?: object
  content?: Record<string, object>
}

interface Operation {
  operationId?: string
  description?: string
  parameters?: { in: string; name: string }[]
  security?: object[]
  requestBody?: { content: Record<string, { example?: object }> }
  responses: Record<string, Response | { $ref: string }>
}

/** The part of a document of @fastify/swagger that is completed here. */
export interface Document {
  components?: object
  paths?: Record<string, Record<string, Operation>>
}

const DESCRIPTIONS: Record<string, string> = {
  200: 'Success',
  201: 'Created',
  202: 'Accepted; the work continues',
  204: 'Done; the response has no body',
}

/** The headers of the responses of a route that are not problems. */
function headersOf(route: RouteOptions, status: string): HeaderName[] {
  const problems = problemsOf(route)
  return [
    ...(status === '503' ? (['Retry-After'] as const) : []),
    ...(status === '201' || status === '202' ? (['Location'] as const) : []),
    ...(problems.includes('cursor_invalid') ? (['Link'] as const) : []),
    ...(route.schema?.responseHeaders ?? []),
    ...(problems.includes('rate_limited')
      ? (['RateLimit-Limit', 'RateLimit-Remaining', 'RateLimit-Reset'] as const)
      : []),
  ]
}

function success(route: RouteOptions, status: string, { description, content, ...rest }: Response): Response {
  const text = description === 'Default Response' ? (DESCRIPTIONS[status] ?? description) : description
  return { description: text, ...rest, ...headers(headersOf(route, status)), ...(content && { content }) }
}

/** What a client needs for a route: a sentence, and the security requirement. A route without a scope may need any valid key. */
function accessOf({ schema, config }: RouteOptions): [string, object[]] {
  const { scope, basicAuth } = config ?? {}
  if (scope) return [`Needs the scope \`${scope}\`.`, [{ key: [scope] }, ...(basicAuth ? [{ basic: [scope] }] : [])]]
  return schema?.problems?.includes('unauthorized') ? ['', [{ key: [] }]] : ['Needs no key.', []]
}

const mapValues = <Value, Result>(values: Record<string, Value>, map: (key: string, value: Value) => Result) =>
  Object.fromEntries(Object.entries(values).map(([key, value]) => [key, map(key, value)]))

/**
 * Completes the document that @fastify/swagger makes from the schemas of the routes: problems, headers and the scope of each
 * operation, and components instead of repetitions. `routeOf` finds the route of an operation.
 */
export function completeDocument<Given extends Document>(
  document: Given,
  routeOf: (method: string, path: string) => RouteOptions,
): Given {
  const problems = problemResponses()
  const complete = (path: string, method: string, operation: Operation): Operation => {
    const route = routeOf(method.toUpperCase(), path)
    const { example, operationId = '' } = route.schema ?? {}
    const [first] = [route.method].flat()
    const [needs, security] = accessOf(route)
    const { requestBody } = operation
    return {
      ...operation,
      operationId:
        method.toUpperCase() === first ? operationId : `${operationId}By${method[0]?.toUpperCase()}${method.slice(1)}`,
      description: [operation.description, needs].filter(Boolean).join('\n\n'),
      security,
      ...(example &&
        requestBody && {
          requestBody: {
            ...requestBody,
            content: mapValues(requestBody.content, (_, media) => ({ ...media, example })),
          },
        }),
      responses: {
        ...problems.of(route),
        ...mapValues(operation.responses as Record<string, Response>, (status, response) =>
          success(route, status, response),
        ),
      },
    }
  }
  const described = mapValues(document.paths ?? {}, (path, methods) =>
    mapValues(methods, (method, operation) => complete(path, method, operation)),
  )
  const schemas: Record<string, object> = { Problem: PROBLEM }
  const paths = liftSchemas(described, schemas) as NonNullable<Given['paths']>
  const lifted = Object.values(paths).flatMap((methods) => Object.values(methods))
  return {
    ...document,
    paths,
    components: {
      ...document.components,
      schemas,
      parameters: liftParameters(lifted),
      headers: headerComponents(),
      responses: problems.components,
    },
  }
}
