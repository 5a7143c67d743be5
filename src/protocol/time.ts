const TIME =
  /^(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-](0\d|1[0-4]):[0-5]\d)$/i
const FIRST = Date.parse('0001-01-01T00:00:00Z')
const LAST = Date.parse('9999-12-31T23:59:59.999Z')

/**
 * Whether the value is an RFC 3339 time between the years 0001 and 9999 in UTC, with at most nine digits of a second.
 * PostgreSQL rounds it to six digits, for an import as for plain SQL.
 */
export function isTime(value: unknown): boolean {
  const parts = typeof value === 'string' ? TIME.exec(value) : null
  if (!parts) return false
  const [year = 0, month = 0, day = 0] = parts.slice(1, 4).map(Number)
  if (year === 0 || day > daysOf(year, month)) return false
  if (year > 1 && year < 9999) return true
  const time = Date.parse(parts[0].toUpperCase()) // with its offset it may be in the previous or next year
  const roundsToNextSecond = /^\.9{6}[5-9]/.test(parts[5] ?? '')
  return time >= FIRST && time + (roundsToNextSecond ? 1 : 0) <= LAST
}

function daysOf(year: number, month: number): number {
  if (month !== 2) return [4, 6, 9, 11].includes(month) ? 30 : 31
  return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28
}
