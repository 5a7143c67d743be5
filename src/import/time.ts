const TIME = /^(\d{4}-\d\d-\d\d)T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?(Z|[+-](0\d|1[0-4]):[0-5]\d)$/
const FIRST = Date.parse('0001-01-01T00:00:00Z')
const LAST = Date.parse('9999-12-31T23:59:59.999Z')

/**
 * Whether it is an RFC 3339 time that can be kept as it is: of the years 0001 to 9999 in UTC, with no more than the six
 * digits of a second that PostgreSQL has, since the others would be rounded away.
 */
export function isTime(value: unknown): boolean {
  const [, date] = typeof value === 'string' ? (TIME.exec(value) ?? []) : []
  if (date === undefined) return false
  const midnight = Date.parse(`${date}T00:00:00Z`)
  if (Number.isNaN(midnight) || !new Date(midnight).toISOString().startsWith(date)) return false // 30 February
  const time = Date.parse(value as string)
  return time >= FIRST && time <= LAST
}
