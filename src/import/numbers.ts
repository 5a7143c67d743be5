/** Such a number may be in the text; in most texts none is, and they need no closer look. */
const UNUSUAL = /\d[eE][+-]?\d{3}|(?<!\d)\d{1000}/

const LONGEST_DIGITS = 1_000
const LARGEST_EXPONENT = 308

/**
 * Whether PostgreSQL can keep every number of a JSON text at a size like that of the text: it keeps numbers digit by digit,
 * so that `1e-9999` would become ten thousand characters, and a row of them more than a line can hold.
 */
export function numbersFit(text: string): boolean {
  if (!UNUSUAL.test(text)) return true
  let fit = true
  const look = (_name: string, value: unknown, { source = '' }: { source?: string } = {}) => {
    if (typeof value === 'number' && !isKeepable(source)) fit = false
    return value
  }
  JSON.parse(text, look as (name: string, value: unknown) => unknown)
  return fit
}

function isKeepable(source: string): boolean {
  const [digits = '', exponent = '0'] = source.toLowerCase().split('e')
  return digits.length <= LONGEST_DIGITS && Math.abs(Number(exponent)) <= LARGEST_EXPONENT
}
