import type { operations } from './description.ts'

/** The name of an operation in the OpenAPI description, such as `createBatch`. */
export type OperationId = keyof operations

/** Required if it has a required member; absent if the operation has no such parameters. */
type Given<Name extends string, Value> = [Exclude<Value, undefined>] extends [never]
  ? { [N in Name]?: never }
  : Record<never, never> extends Exclude<Value, undefined>
    ? { [N in Name]?: Exclude<Value, undefined> | undefined }
    : { [N in Name]: Exclude<Value, undefined> }

type BodyOf<Operation> = Operation extends { requestBody: { content: infer Content } }
  ? { body: RawBody | Content[keyof Content] }
  : Operation extends { requestBody?: { content: infer Content } }
    ? { body?: RawBody | Content[keyof Content] | undefined }
    : { body?: never }

/** A body that is sent as it is, as `contentType`. */
export type RawBody = string | Uint8Array | Blob | ReadableStream<Uint8Array>

/** How long a call may take, and what ends it. */
export interface CallOptions {
  /** Ends the call when it aborts; the call throws its reason. */
  signal?: AbortSignal | undefined
  /** How long the service may send nothing, in milliseconds. */
  timeoutMs?: number | undefined
  /** How long all attempts together may take, in milliseconds. */
  deadlineMs?: number | undefined
  /** Maximum number of attempts. */
  attempts?: number | undefined
}

/** Path, query, headers and body of an operation. `pool` is that of the client unless the query names one. */
export type RequestOptions<Id extends OperationId> = CallOptions &
  Given<'path', operations[Id]['parameters']['path']> &
  Given<'query', operations[Id]['parameters']['query']> &
  Given<'headers', operations[Id]['parameters']['header']> &
  BodyOf<operations[Id]> & { contentType?: string }

type ContentOf<Response> = Response extends { content: infer Content } ? Content[keyof Content] : undefined

type Success = 200 | 201 | 202 | 204

/** What a successful response of an operation has: JSON as values, other media types as text. */
export type ResponseOf<Id extends OperationId> = {
  [Status in keyof operations[Id]['responses']]: Status extends Success
    ? ContentOf<operations[Id]['responses'][Status]>
    : never
}[keyof operations[Id]['responses']]

/** The options may be omitted if nothing in them is required. */
export type OptionsOf<Id extends OperationId> =
  Record<never, never> extends RequestOptions<Id> ? [options?: RequestOptions<Id>] : [options: RequestOptions<Id>]
