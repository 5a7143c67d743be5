/** One line of the table. */
export interface Row {
  what: string
  /** The ratio of the figure to the yardstick; undefined if there is no yardstick or it was not run. */
  ratio?: number | undefined
  target?: string
  measured: string
  yardstick?: string
  /** Whether the target is met; undefined if there is none or it could not be measured. */
  met?: boolean | undefined
}

const HEAD = ['what', 'ratio to yardstick', 'target', 'measured', 'yardstick', 'met?']

/** The rows as a Markdown table, with padded columns so that it is readable as plain text too. */
export function tableOf(rows: Row[]): string {
  const lines = rows.map(({ what, ratio, target = '', measured, yardstick = '', met }) => [
    what,
    ratio === undefined || Number.isNaN(ratio) ? '' : ratio.toPrecision(3),
    target,
    measured,
    yardstick,
    met === undefined ? '' : met ? 'yes' : 'no',
  ])
  const widths = HEAD.map((title, column) => Math.max(title.length, ...lines.map((line) => line[column]?.length ?? 0)))
  const dashes = widths.map((width) => '-'.repeat(width))
  return [HEAD, dashes, ...lines]
    .map((cells) => `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`)
    .join('\n')
}

export const count = (value: number) => Math.round(value).toLocaleString('en-US')
export const usersPerSecond = (value: number) => `${count(value)} users/s`
export const milliseconds = (value: number) => `${value.toFixed(value < 100 ? 1 : 0)} ms`
export const mebibytes = (bytes: number) => `${count(bytes / 1_048_576)} MiB`
