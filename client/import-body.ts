import type { RawBody } from './operation-types.ts'

/** A user of an import; docs/import.md lists the members. */
export interface NewUser {
  username: string
  email: string
  role?: string
  custom_attributes?: Record<string, unknown>
  [member: string]: unknown
}

type Part = NewUser | Uint8Array | string

/** Users, or parts of a file. A text is a whole file. */
export type ImportItems = string | Iterable<Part> | AsyncIterable<Part> | ReadableStream<Uint8Array>

const TYPES = { json: 'application/json', ndjson: 'application/x-ndjson', csv: 'text/csv' }

/** Whether `items` can be read a second time. */
export const isReplayable = (items: ImportItems) => typeof items === 'string' || Array.isArray(items)

/** Returns the body of an import and its media type. */
export function importBody(items: ImportItems, format: keyof typeof TYPES): { body: RawBody; contentType: string } {
  const contentType = TYPES[format]
  if (typeof items === 'string') return { body: items, contentType }
  if (items instanceof ReadableStream) return { body: items, contentType }
  if (Array.isArray(items)) return { body: items.map(textOf).join(''), contentType }
  return { body: streamOf(items), contentType }
}

const textOf = (part: Part): string =>
  typeof part === 'string'
    ? part
    : part instanceof Uint8Array
      ? new TextDecoder().decode(part)
      : `${JSON.stringify(part)}\n`

function streamOf(items: Iterable<Part> | AsyncIterable<Part>): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder()
  const iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]()
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await iterator.next()
      if (done) controller.close()
      else controller.enqueue(value instanceof Uint8Array ? value : encoder.encode(textOf(value)))
    },
    async cancel() {
      await iterator.return?.()
    },
  })
}
