/** Users as CSV (RFC 4180) with these columns. A missing value is an empty cell; a value that is not text is JSON. */
export function csvOf(users: object[], columns: string[], lineEnd = '\n'): string {
  const quoted = (text: string) => (/[",\r\n]|^[\s=+@-]|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)
  const cell = (value: unknown) =>
    value === undefined || value === null ? '' : typeof value === 'string' ? value : JSON.stringify(value)
  const rows = users.map((user) => columns.map((column) => quoted(cell((user as Record<string, unknown>)[column]))))
  return [columns, ...rows].map((row) => row.join(',') + lineEnd).join('')
}
