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
  /** The current element, or the envelope, as far as it arrived in earlier pieces. */
  #text = ''
  #piece = ''
  /** Where in the piece the current element, or the envelope, goes on. */
  #start = 0
  #depth = 0
  #inString = false
  #isEscaped = false
  #isEmpty = true
  /** The envelope without the users; undefined for a bare array. */
  #envelope: string | undefined
  /** Whether the next string of the envelope is the name of a member. */
  #expectsKey = false
  /** Where in the envelope the name begins that is being read; else -1. */
  #keyStart = -1
  #key = ''

  /** Returns the elements that this piece completes. */
  push(piece: string): string[] {
    const elements: string[] = []
    this.#piece = piece
    this.#start = 0
    let at = 0
    while (at < piece.length) {
      if (this.#inString) at = this.#readString(at)
      else if (this.#place === 'array') at = this.#readArray(at, elements)
      else if (this.#place === 'envelope') at = this.#readEnvelope(at)
      else at = this.#readOutside(at)
    }
    if (this.#place === 'array' || this.#place === 'envelope') {
      this.#text = this.#textUntil(piece.length)
      requireRowLength(this.#text.length)
    }
    return elements
  }

  /** Call this at the end of the body. Throws `invalid_json` if the JSON is not complete. */
  end(): void {
    if (this.#place !== 'after') throw invalidJson('The body ends in the middle of the JSON.')
  }

  /* Each of these reads the piece from `from`, up to where another one takes over, and returns that place. */

  /** Reads up to the bracket that begins the JSON. Allows only whitespace before it and after the JSON. */
  #readOutside(from: number): number {
    const char = this.#piece.charCodeAt(from)
    if (isSpace(char)) return from + 1
    if (this.#place === 'after') throw invalidJson('There is text after the end of the JSON.')
    if (char === OPEN_BRACKET) {
      this.#place = 'array'
      this.#start = from + 1
    } else if (char === OPEN_BRACE) {
      this.#place = 'envelope'
      this.#start = from
      this.#depth = 1
      this.#expectsKey = true
    } else throw invalidJson('The body is neither an array of users nor a full export.')
    return from + 1
  }

  /** Reads the rest of a string. */
  #readString(from: number): number {
    const piece = this.#piece
    for (let at = from; at < piece.length; at++) {
      const char = piece.charCodeAt(at)
      if (this.#isEscaped) this.#isEscaped = false
      else if (char === BACKSLASH) this.#isEscaped = true
      else if (char === QUOTE) {
        this.#inString = false
        if (this.#keyStart >= 0) this.#readKey(this.#textUntil(at + 1))
        return at + 1
      }
    }
    return piece.length
  }

  /** Reads elements up to a string, or to the end of the array. */
  #readArray(from: number, elements: string[]): number {
    const piece = this.#piece
    for (let at = from; at < piece.length; at++) {
      const char = piece.charCodeAt(at)
      if (char === QUOTE) {
        this.#inString = true
        return at + 1
      }
      if (char === COMMA && this.#depth === 0) {
        elements.push(this.#take(at))
        this.#isEmpty = false
      } else if (char === CLOSE_BRACKET && this.#depth === 0) {
        const last = this.#take(at)
        if (!this.#isEmpty || last.trim() !== '') elements.push(last)
        this.#leaveArray()
        return at + 1
      } else this.#count(char)
    }
    return piece.length
  }

  /** Reads the envelope up to a string, to the array of users, or to its end. */
  #readEnvelope(from: number): number {
    const piece = this.#piece
    for (let at = from; at < piece.length; at++) {
      const char = piece.charCodeAt(at)
      if (char === QUOTE) {
        this.#inString = true
        if (this.#expectsKey && this.#depth === 1) this.#keyStart = this.#text.length + at - this.#start
        this.#expectsKey = false
        return at + 1
      }
      if (char === OPEN_BRACKET && this.#depth === 1 && this.#key === 'users') {
        this.#envelope = `${this.#take(at)}[]`
        this.#place = 'array'
        this.#depth = 0
        return at + 1
      }
      this.#count(char)
      if (char === COMMA && this.#depth === 1) this.#expectsKey = true
      if (this.#depth === 0) {
        this.#endEnvelope(`${this.#take(at)}${piece[at]}`)
        return at + 1
      }
    }
    return piece.length
  }

  #count(char: number): void {
    if (char === OPEN_BRACE || char === OPEN_BRACKET) this.#depth++
    else if (char === CLOSE_BRACE || char === CLOSE_BRACKET) this.#depth--
    if (this.#depth < 0) throw invalidJson('The body has an unmatched closing bracket.')
  }

  /** Returns the text since the last cut. */
  #textUntil(end: number): string {
    return this.#text + this.#piece.slice(this.#start, end)
  }

  /** Cuts the text at the character at `end`, which belongs to neither side. Returns what is before it. */
  #take(end: number): string {
    const text = this.#textUntil(end)
    requireRowLength(text.length)
    this.#text = ''
    this.#start = end + 1
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
    const envelope = parse(text) as { kind?: unknown }
    if (envelope.kind === undefined) throw noExport('body.kind', 'missing_member', 'is missing')
    if (envelope.kind !== 'full') throw notFull()
    if (this.#envelope === undefined) throw invalidJson('The export has no array of users.')
    this.#place = 'after'
  }
}

const QUOTE = 0x22
const COMMA = 0x2c
const OPEN_BRACKET = 0x5b
const BACKSLASH = 0x5c
const CLOSE_BRACKET = 0x5d
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d

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
