/** Control characters, which move the cursor of a terminal or rename its window, and those that turn the direction of a line. */
const STEERING = /[\p{Cc}\p{Bidi_Control}]/gu

/** Text of a service or a file, safe for a terminal. */
const safe = (value: unknown): string => String(value ?? '-').replaceAll(STEERING, '\ufffd')

/** Returns lines with aligned columns, and a head line in capitals. */
export function table(heads: readonly string[], rows: unknown[][]): string {
  const cells = [heads.map((head) => head.toUpperCase()), ...rows.map((row) => row.map(safe))]
  const widths = heads.map((_, column) => Math.max(...cells.map((row) => (row[column] ?? '').length)))
  const line = (row: string[]) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')
  return cells.map((row) => `${line(row).trimEnd()}\n`).join('')
}

/** Returns lines of names and values, one a line. */
export function facts(values: Record<string, unknown>): string {
  const width = Math.max(...Object.keys(values).map((name) => name.length))
  return Object.entries(values)
    .map(([name, value]) => `${name.padEnd(width)}  ${safe(value)}\n`)
    .join('')
}

export const grouped = (number: number) => number.toLocaleString('en-US')

export const users = (count: number) => `${grouped(count)} ${count === 1 ? 'user' : 'users'}`
