/**
 * Bytes of the text that PostgreSQL makes of a JSON value as jsonb: a blank after each `:` and `,`, and every number with all
 * of its digits (`1e308` has 309). The value is one that JSON.parse returns; texts are well-formed and without U+0000.
 */
export function jsonbBytes(value: unknown): number {
  if (typeof value === 'number') return numericLength(value)
  if (typeof value !== 'object' || value === null) return Buffer.byteLength(JSON.stringify(value))
  const parts = Array.isArray(value)
    ? value.map(jsonbBytes)
    : Object.entries(value).map(([name, member]) => jsonbBytes(name) + 2 + jsonbBytes(member))
  return 2 + parts.reduce((sum, bytes) => sum + bytes, 0) + 2 * Math.max(0, parts.length - 1)
}

/** Characters of a number as PostgreSQL's numeric prints the shortest text that JavaScript has for it. */
function numericLength(value: number): number {
  const [, sign = '', digits = '', exponentText = ''] = /^(-?)([\d.]+)e([+-]\d+)$/.exec(value.toExponential()) ?? []
  const count = digits.replace('.', '').length
  const exponent = Number(exponentText)
  const minus = value === 0 ? 0 : sign.length
  if (exponent < 0) return minus + 1 - exponent + count // 0.00ddd: the zero, the point, -exponent - 1 zeros, the digits
  return minus + Math.max(exponent + 1, count) + (count > exponent + 1 ? 1 : 0)
}
