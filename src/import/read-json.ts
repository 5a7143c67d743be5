import { Problem } from '../errors.ts'
import { requireRowLength } from '../protocol/lines.ts'
import { type GivenRow, givenRow } from './row.ts'

/** What stands beside the users in a full export as JSON. */
const ENVELOPE = [
  'kind',
  'reason',
  'base',
  'state',
  'total_count',
  'counts',
  'filters',
  'export_timestamp',
  'source_system',
  'users',
]
const OF_A_DELTA = ['added', 'updated', 'deleted']

export const invalidJson = (detail: string) => new Problem('invalid_json', detail)

/** For an export that does not hold all users. */
export const notFull = () =>
  new Problem('import_not_full', 'Export with differential=false, and send that: a delta says only what has changed.')

/** For an object that is no export. */
const noExport = (path: string, code: string, message: string) =>
  new Problem('invalid_request', `${path} ${message}. Send an array of users, [{…}, …], or a full export as it is.`, {
    errors: [{ path, code, message }],
  })

/**
 * Cuts JSON that comes in pieces, an array or a full export, into the texts of its elements. It looks at quotes, brackets
 * and commas alone: whether an element is JSON is for who parses it, and its numbers keep every digit until then. Throws
 * `invalid_json`, `import_not_full`, `invalid_request` for members that a full export has not, and `body_too_large`.
 */
export class ElementCutter {
  #place: 'before' | 'envelope' | 'array' | 'after' = 'before'
  /** Of the element, or of the envelope, as far as it has come. */
  #text = ''
  #depth = 0
  #inString = false
  #escaped = false
  #isEmpty = true
  /** The envelope without the users; undefined for a bare array. */
  #envelope: string | undefined
  #keyStart = -1
  #expectsKey = false
  #key = ''

  /** The elements that this piece completes. */
  push(piece: string): string[] {
    const elements: string[] = []
    let start = 0
    /** Takes what has come since the last cut, up to the character at `end`. */
    const take = (end: number) => {
      const text = this.#text + piece.slice(start, end)
      requireRowLength(text.length)
      this.#text = ''
      start = end + 1
      return text
    }
    for (let i = 0; i < piece.length; i++) {
      const char = piece.charCodeAt(i)
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false
        else if (char === 0x5c) this.#escaped = true
        else if (char === 0x22) {
          this.#inString = false
          if (this.#keyStart >= 0) this.#readKey(this.#text + piece.slice(start, i + 1))
        }
      } else if (char === 0x22 && (this.#place === 'array' || this.#place === 'envelope')) {
        this.#inString = true
        if (this.#expectsKey && this.#depth === 1) this.#keyStart = this.#text.length + i - start
        this.#expectsKey = false
      } else if (this.#place === 'array') {
        if (char === 0x2c && this.#depth === 0) elements.push(this.#element(take(i)))
        else if (char === 0x5d && this.#depth === 0) {
          const last = take(i)
          if (!this.#isEmpty || last.trim() !== '') elements.push(this.#element(last))
          this.#leaveArray()
        } else this.#count(char)
      } else if (this.#place === 'envelope') {
        if (this.#depth === 1 && char === 0x5b && this.#key === 'users') {
          this.#envelope = `${take(i)}[]`
          this.#place = 'array'
          this.#depth = 0
        } else {
          this.#count(char)
          if (this.#depth === 1 && (char === 0x7b || char === 0x2c)) this.#expectsKey = true
          if (this.#depth === 0) this.#endEnvelope(take(i))
        }
      } else if (!isSpace(char)) {
        if (this.#place === 'after') throw invalidJson('There is text after the end of the JSON.')
        if (char !== 0x5b && char !== 0x7b)
          throw invalidJson('The body is neither an array of users nor a full export.')
        this.#place = char === 0x5b ? 'array' : 'envelope'
        if (char === 0x5b) start = i + 1
        else {
          start = i
          this.#depth = 1
          this.#expectsKey = true
        }
      }
    }
    if (this.#place === 'array' || this.#place === 'envelope') {
      this.#text += piece.slice(start)
      requireRowLength(this.#text.length)
    }
    return elements
  }

  /** To be called at the end of the body. Throws `invalid_json` where it is not the end of the JSON. */
  end(): void {
    if (this.#place !== 'after') throw invalidJson('The body ends in the middle of the JSON.')
  }

  #count(char: number): void {
    if (char === 0x7b || char === 0x5b) this.#depth++
    else if (char === 0x7d || char === 0x5d) this.#depth--
    if (this.#depth < 0) throw invalidJson('The body has a bracket that closes nothing.')
  }

  #element(text: string): string {
    this.#isEmpty = false
    return text
  }

  #leaveArray(): void {
    this.#place = this.#envelope === undefined ? 'after' : 'envelope'
    this.#text = this.#envelope ?? ''
    this.#depth = 1
    this.#key = ''
  }

  #readKey(text: string): void {
    this.#key = parseKey(text.slice(this.#keyStart))
    this.#keyStart = -1
    if (OF_A_DELTA.includes(this.#key)) throw notFull()
    if (!ENVELOPE.includes(this.#key) || (this.#key === 'users' && this.#envelope !== undefined)) {
      throw noExport(`body.${this.#key}`, 'unknown_member', 'is not known here')
    }
  }

  #endEnvelope(text: string): void {
    const envelope = parse(`${text}}`) as { kind?: unknown }
    if (envelope.kind === undefined) throw noExport('body.kind', 'missing_member', 'is missing')
    if (envelope.kind !== 'full') throw notFull()
    if (this.#envelope === undefined) throw invalidJson('The export has no array of users.')
    this.#place = 'after'
  }
}

const isSpace = (char: number) => char === 0x20 || char === 0x0a || char === 0x0d || char === 0x09

function parseKey(text: string): string {
  return String(parse(text))
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new Problem('invalid_json', 'The body could not be read as JSON.', { cause })
  }
}

/**
 * The rows of a JSON body, an array of users or a full export. What is cut between two commas and is no JSON shows that the
 * body is none, so it is refused as a whole (`invalid_json`). Throws what ElementCutter throws.
 */
export async function* readJson(texts: AsyncIterable<string>): AsyncGenerator<GivenRow[], void, void> {
  const cutter = new ElementCutter()
  let count = 0
  for await (const text of texts) {
    const rows = cutter.push(text).map(givenRow)
    const bad = rows.findIndex(({ value }) => value === undefined)
    if (bad >= 0) throw invalidJson(`Row ${count + bad + 1} could not be read as JSON.`)
    count += rows.length
    yield rows
  }
  cutter.end()
}
