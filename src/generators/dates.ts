import { pathOf, readInOrder } from './arguments.ts'
import type { Generator } from './compiler.ts'
import { known } from './faults.ts'
import { scalar } from './node.ts'

const DATE = /^(?!0000)\d{4}-\d{2}-\d{2}$/
const TIMESTAMP = /^(?!0000)\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$/
const SECONDS_OF_DAY = 86_400

/**
 * `{"$date": ["2020-01-01", "2026-01-01"], "as": "timestamp"}`: a day of the range, or a second of it in UTC, both ends included. A
 * date stands for its midnight.
 */
export const date: Generator = {
  options: ['as'],
  compile(use, compiler) {
    const { argument, options, place } = use
    const { as = 'date' } = options
    if (as !== 'date' && as !== 'timestamp') {
      const hint = typeof as === 'string' ? known(as, ['date', 'timestamp']) : ''
      return compiler.faults.add([...place.path, 'as'], 'invalid', `expects date or timestamp.${hint}`)
    }
    const path = pathOf(use)
    const forms = as === 'date' ? [DATE] : [DATE, TIMESTAMP]
    const ends = Array.isArray(argument) && argument.length === 2 ? argument.map((end) => seconds(end, forms)) : []
    const [low, high] = ends
    if (low === undefined || high === undefined) {
      const example = as === 'date' ? '2026-01-31' : '2026-01-31 or 2026-01-31T23:59:59Z'
      return compiler.faults.add(path, 'invalid', `expects two dates [first, last] of the calendar, such as ${example}`)
    }
    const range = readInOrder({ low, high }, argument, path, compiler)
    if (!range) return undefined
    const unit = as === 'date' ? SECONDS_OF_DAY : 1
    const size = (high - low) / unit + 1
    const write = as === 'date' ? writeDay : writeSecond
    const { below } = compiler.drawsAt(place)
    return scalar({
      text: (n, lane) => write(low / unit + below(size, n, lane, 0)),
      isText: true,
      maxTextBytes: as === 'date' ? '2026-01-31'.length : '2026-01-31T23:59:59Z'.length,
      ranked: { size, text: (rank) => write(low / unit + rank) },
    })
  },
}

/** Returns the seconds since 1970 of a date or time of the calendar, undefined for any other value. */
function seconds(end: unknown, forms: readonly RegExp[]): number | undefined {
  if (typeof end !== 'string' || !forms.some((form) => form.test(end))) return undefined
  const ms = Date.parse(end)
  // Date.parse accepts February 30th and 24:00.
  if (Number.isNaN(ms) || !new Date(ms).toISOString().startsWith(end.replace('Z', ''))) return undefined
  return ms / 1000
}

const two = (number: number) => (number < 10 ? `0${number}` : String(number))

function writeSecond(second: number): string {
  const day = Math.floor(second / SECONDS_OF_DAY)
  const rest = second - day * SECONDS_OF_DAY
  const [hours, minutes] = [Math.floor(rest / 3600), Math.floor(rest / 60) % 60]
  return `${writeDay(day)}T${two(hours)}:${two(minutes)}:${two(rest % 60)}Z`
}

/**
 * Writes a day, counted from 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms", civil_from_days). Ten times
 * as fast as `Date.prototype.toISOString`.
 */
function writeDay(day: number): string {
  const shifted = day + 719_468 // days since 0000-03-01
  const era = Math.floor(shifted / 146_097)
  const dayOfEra = shifted - era * 146_097
  const century = Math.floor(dayOfEra / 36_524)
  const leapDays = Math.floor(dayOfEra / 1_460) - century + Math.floor(dayOfEra / 146_096)
  const yearOfEra = Math.floor((dayOfEra - leapDays) / 365)
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const march = Math.floor((5 * dayOfYear + 2) / 153)
  const month = march < 10 ? march + 3 : march - 9
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
  return `${String(year).padStart(4, '0')}-${two(month)}-${two(dayOfYear - Math.floor((153 * march + 2) / 5) + 1)}`
}
