import { Problem } from '../errors.ts'
import { requireRowLength } from '../protocol/text.ts'
import { type GivenRow, givenRow } from './row.ts'

/** The members of a full export as JSON, besides the users. */
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

const invalidJson = (detail: string) => new Problem('invalid_json', detail)

/** For an export that does not contain all users. */
export const notFull = () =>
  new Problem(
    'import_not_full',
    'The body is a delta, which contains only changes. Export with differential=false and import that.',
  )

/** For an object that is not an export. */
const noExport = (path: string, code: string, message: string) =>
  new Problem(
    'invalid_request',
    `${path} ${message}. Send an array of users, [{…}, …], or an unmodified full export.`,
    {
      errors: [{ path, code, message }],
    },
  )

/**
 * Splits streamed JSON, an array or a full export, into the texts of its elements. It reads only quotes, brackets and
 * commas. The caller parses the elements, so numbers keep every digit until then. Throws `invalid_json`,
 * `import_not_full`, ContentError, and `invalid_request` for members that a full export does not have.
 */
export class ElementCutter {
  #place: 'before' | 'envelope' | 'array' | 'after' = 'before'
  /** The current element, or the envelope, as far as it has arrived. */
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

  /** Returns the elements that this piece completes. */
  push(piece: string): string[] {
    const elements: string[] = []
    let start = 0
    /** Appends the text since the last cut, up to the character at `end`. */
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

  /** Call this at the end of the body. Throws `invalid_json` if the JSON is not complete. */
  end(): void {
    if (this.#place !== 'after') throw invalidJson('The body ends in the middle of the JSON.')
  }

  #count(char: number): void {
    if (char === 0x7b || char === 0x5b) this.#depth++
    else if (char === 0x7d || char === 0x5d) this.#depth--
    if (this.#depth < 0) throw invalidJson('The body has an unmatched closing bracket.')
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
      throw noExport(`body.${this.#key}`, 'unknown_member', 'is unknown')
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
    throw new Problem('invalid_json', 'The body is not valid JSON.', { cause })
  }
}

/**
 * Reads the rows of a JSON body, an array of users or a full export. If an element is not valid JSON, neither is the
 * body, so the whole body is rejected (`invalid_json`). Throws what ElementCutter throws.
 */
export async function* readJson(texts: AsyncIterable<string>): AsyncGenerator<GivenRow[], void, void> {
  const cutter = new ElementCutter()
  let count = 0
  for await (const text of texts) {
    const rows = cutter.push(text).map(givenRow)
    const bad = rows.findIndex(({ value }) => value === undefined)
    if (bad >= 0) throw invalidJson(`Row ${count + bad + 1} is not valid JSON.`)
    count += rows.length
    yield rows
  }
  cutter.end()
}
