import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ANSWERED, type Answered, DESCRIPTION } from './answer-record.ts'
import { resolveReferences } from './http/resolve-references.ts'

interface Response {
  headers?: Record<string, unknown>
  content?: Record<string, { schema: { allOf?: [unknown, { properties: { code: { enum: string[] } } }] } }>
}

interface Document {
  paths: Record<string, Record<string, { responses: Record<string, Response> }>>
}

export interface Compared {
  /** The number of different answers. */
  answers: number
  /** The answers that the description lacks, and the reasons why nothing could be compared. */
  faults: string[]
}

/** Compares the answers that the services of a run gave with their description. */
export async function compareAnswers(folder: string): Promise<Compared> {
  const files = (await readdir(folder)).filter((name) => name.endsWith(ANSWERED))
  const texts = await Promise.all(files.map((name) => readFile(join(folder, name), 'utf8')))
  const lines = [...new Set(texts.flatMap((text) => text.split('\n').filter((line) => line !== '')))].toSorted()
  if (lines.length === 0) return { answers: 0, faults: [] }
  const text = await readFile(join(folder, DESCRIPTION), 'utf8').catch(() => undefined)
  if (text === undefined) return { answers: lines.length, faults: ['no service has left its description'] }
  const document = resolveReferences(JSON.parse(text) as Document)
  const faults = lines.flatMap((line) => undescribed(document, JSON.parse(line)))
  return { answers: lines.length, faults: [...new Set(faults)] }
}

/** Problems of a body. A description has no body of a GET, whose content has no meaning (RFC 9110 section 9.3.1). */
const OF_THE_BODY = new Set(['body_too_large', 'invalid_json', 'media_type_unsupported', 'request_timeout'])

/** Returns what the description lacks of an answer. */
function undescribed({ paths }: Document, { method, path, status, type, code, headers }: Answered): string[] {
  const operation = paths[path]?.[method.toLowerCase()]
  const response = operation?.responses[status]
  const answer = `${method} ${path} ${status}`
  if (method === 'GET' && OF_THE_BODY.has(code)) return []
  if (!operation) return [`${method} ${path} is not described`]
  if (!response) return [`${answer} ${code || type} is not described`]
  const content = response.content?.[type]
  if (type !== '' && !content) return [`${answer} has the media type ${type}`]
  const described = Object.keys(response.headers ?? {}).map((name) => name.toLowerCase())
  return [
    ...(code === '' || content?.schema.allOf?.[1].properties.code.enum.includes(code) ? [] : [`${answer} ${code}`]),
    ...headers.filter((name) => !described.includes(name)).map((name) => `${answer} has the header ${name}`),
  ]
}
