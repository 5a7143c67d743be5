import { pipeline, Readable } from 'node:stream'
import { CsvError, parse } from 'csv-parse'
import { MAX_FAULTS, Problem } from '../errors.ts'
import { requireRowLength } from '../protocol/text.ts'
import { notFull } from './read-json.ts'
import { credentialsRefused, type GivenRow, givenRow, isCredential, isMember, MEMBERS } from './row.ts'

const LINE_FEED = 10
const QUOTE = 34

/**
 * Passes CSV text through while its rows stay within the maximum row size. The limit of csv-parse does not count
 * commas: a row of only commas would fill the memory. Throws ContentError `too_large`.
 */
async function* meterRows(texts: AsyncIterable<string>): AsyncGenerator<string, void, void> {
  let inQuotes = false
  let length = 0
  for await (const text of texts) {
    for (let i = 0; i < text.length; i++) {
      const char = text.charCodeAt(i)
      length++
      if (char === QUOTE) inQuotes = !inQuotes // a doubled quote toggles twice
      if (char === LINE_FEED && !inQuotes) {
        requireRowLength(length - 1)
        length = 0
      }
    }
    requireRowLength(length)
    yield text
  }
}

/**
 * Reads the rows of a CSV body (RFC 4180; LF or CRLF). The first row names the columns: any members of a user, in any
 * order. An empty cell is an omitted member, except in `batch_id`, where it means no batch. Skips empty lines, and rows
 * of only empty cells, which spreadsheets append. Throws `invalid_csv`, `import_not_full`, `import_credentials`,
 * ContentError, and `invalid_request` for unknown, duplicate or missing columns.
 */
export async function* readCsv(texts: AsyncIterable<string>): AsyncGenerator<GivenRow[], void, void> {
  let columns: string[] | undefined
  for await (const cells of records(texts)) {
    if (columns) yield [csvRow(columns, cells)]
    else columns = checkedColumns(cells)
  }
  if (!columns) throw new Problem('invalid_csv', 'The body has no header row. The first row must name the columns.')
}

async function* records(texts: AsyncIterable<string>): AsyncGenerator<string[], void, void> {
  const parser = parse({
    record_delimiter: ['\r\n', '\n'],
    relax_column_count: true,
    skip_empty_lines: true,
    skip_records_with_empty_values: true,
  })
  pipeline(Readable.from(meterRows(texts), { objectMode: false }), parser, () => {}) // the reader below receives errors
  try {
    yield* parser as AsyncIterable<string[]>
  } catch (error) {
    if (!(error instanceof CsvError)) throw error
    const { lines } = error as { lines?: number }
    throw new Problem('invalid_csv', `Line ${lines ?? 1} is not valid CSV. Check its quotes.`, { cause: error })
  }
}

function checkedColumns(columns: string[]): string[] {
  if (columns.includes('op')) throw notFull()
  if (columns.some(isCredential)) throw credentialsRefused()
  const unknown = columns.filter((column) => !isMember(column))
  const twice = columns.filter((column, i) => columns.indexOf(column) < i)
  const errors = [
    ...unknown.map((column) => ({
      path: `columns.${column.slice(0, 64) || columns.indexOf('') + 1}`,
      code: 'unknown_member',
      message: column === '' ? 'has no name' : 'is unknown',
    })),
    ...twice.map((column) => ({
      path: `columns.${column.slice(0, 64)}`,
      code: 'duplicate',
      message: 'is a duplicate',
    })),
  ].slice(0, MAX_FAULTS)
  if (!columns.includes('username'))
    errors.push({ path: 'columns.username', code: 'missing_member', message: 'is missing' })
  if (errors.length === 0) return columns
  const detail = `${errors.map(({ path, message }) => `${path} ${message}`).join('; ')}. Known: ${Object.keys(MEMBERS).join(', ')}.`
  throw new Problem('invalid_request', detail, { errors })
}

/** Converts the cells to JSON. */
function csvRow(columns: string[], cells: string[]): GivenRow {
  if (cells.length !== columns.length) return { text: '', value: undefined }
  const members = columns.flatMap((column, i) => {
    const value = cellJson(column, cells[i] ?? '')
    return value === undefined ? [] : [`${JSON.stringify(column)}:${value}`]
  })
  return givenRow(`{${members.join(',')}}`)
}

/** Attributes are JSON text and stay unchanged. Spreadsheets write booleans in capitals. */
function cellJson(column: string, cell: string): string | undefined {
  if (cell === '') return column === 'batch_id' ? 'null' : undefined
  if (MEMBERS[column]?.isText !== false) return JSON.stringify(cell)
  if (/^(true|false)$/i.test(cell)) return cell.toLowerCase()
  return givenRow(cell).value === undefined ? JSON.stringify(cell) : cell
}
