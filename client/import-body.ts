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

/** The body of an import. */
export interface Upload {
  body: RawBody
  contentType: string
  /** What `items` threw: fetch would report a failed connection. */
  sourceError?: unknown
}

/** Returns the body that has these users. */
export function uploadOf(items: ImportItems, format: keyof typeof TYPES): Upload {
  const contentType = TYPES[format]
  if (typeof items === 'string' || items instanceof ReadableStream) return { body: items, contentType }
  if (Array.isArray(items)) return { body: items.map(textOf).join(''), contentType }
  const upload: Upload = {
    contentType,
    body: streamOf(items, (error) => Object.assign(upload, { sourceError: error })),
  }
  return upload
}

function textOf(part: Part): string {
  if (typeof part === 'string') return part
  return part instanceof Uint8Array ? new TextDecoder().decode(part) : `${JSON.stringify(part)}\n`
}

function streamOf(items: Iterable<Part> | AsyncIterable<Part>, onError: (error: unknown) => void) {
  const encoder = new TextEncoder()
  const iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]()
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await iterator.next()
        if (done) controller.close()
        else controller.enqueue(value instanceof Uint8Array ? value : encoder.encode(textOf(value)))
      } catch (error) {
        onError(error)
        throw error
      }
    },
    async cancel() {
      await iterator.return?.()
    },
  })
}
