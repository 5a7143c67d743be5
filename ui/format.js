const NUMBER = new Intl.NumberFormat()
const TIME = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' })
const DATE_TIME = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' })

/** Every digit: 1,000,000 and not 1 M. */
export const number = (/** @type {number} */ value) => NUMBER.format(value)

/** `1 user`, `2 users`. */
export const counted = (/** @type {number} */ count, /** @type {string} */ noun) =>
  `${number(count)} ${noun}${count === 1 ? '' : noun.endsWith('ch') ? 'es' : 's'}`

export const percent = (/** @type {number} */ part) => `${(Math.floor(part * 1000) / 10).toFixed(1)} %`

/** Bytes in MiB or GiB. */
export function bytes(/** @type {number} */ value) {
  const mib = value / 1_048_576
  return mib < 1024 ? `${number(Math.round(mib))} MiB` : `${(mib / 1024).toFixed(1)} GiB`
}

/** Seconds as text: `0.4 s`, `12 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`. */
export function duration(/** @type {number} */ seconds) {
  if (seconds < 10) return `${Math.round(seconds * 10) / 10} s`
  const total = Math.round(seconds)
  if (total < 60) return `${total} s`
  if (total < 3600) return `${Math.floor(total / 60)} min ${total % 60} s`
  if (total < 86_400) return `${Math.floor(total / 3600)} h ${Math.floor((total % 3600) / 60)} min`
  return `${number(Math.floor(total / 86_400))} d ${Math.floor((total % 86_400) / 3600)} h`
}

/** A time, RFC 3339 or milliseconds, in the browser's time zone: only the time of day if it is today. */
export function localTime(/** @type {string | number} */ time) {
  const date = new Date(time)
  return date.toDateString() === new Date().toDateString() ? TIME.format(date) : DATE_TIME.format(date)
}

/** The first characters of an id or state, enough to tell two apart by eye. */
export const shortId = (/** @type {string} */ id) => (id.startsWith('u1-') ? id.slice(0, 11) : id.slice(-12))

/** A code such as `completed_with_failures` as words. */
export const words = (/** @type {string} */ code) => code.replaceAll('_', ' ')
