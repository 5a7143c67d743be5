import { extname } from 'node:path'
import { parseArgs } from 'node:util'
import { PeerError } from '../client/peer.ts'
import { checkedUrl, UsageError } from '../client/service-options.ts'
import { FORMAT_NAMES, type Format } from '../export/format.ts'
import { ExportError } from '../protocol/read-export.ts'
import { CREDENTIALS, type Credential, UUID_FORM } from '../protocol/user-line.ts'
import type { PullSource } from './base-label.ts'
import { PULL_OPTIONS } from './options.ts'
import { isNoRoom } from './room.ts'

/** The exit code if the service rejects the key, or needs one. */
export const UNAUTHORIZED = 4

/** Returns the exit code of a failed pull; docs/command.md lists the codes. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return 2
  if (error instanceof ExportError) return 6
  if (isNoRoom(error)) return 7
  if (error instanceof DOMException && error.name === 'TimeoutError') return 3
  if (!(error instanceof PeerError)) return 1
  if (error.fault === 'unauthorized') return UNAUTHORIZED
  return error.isRetryable ? 3 : 5
}

/** The parsed command line. */
export interface PullOptions {
  source: PullSource
  /** The file to keep in sync. */
  out: string
  /** Undefined: the key is in the environment, if there is one. */
  keyFile: string | undefined
  /** The pause between rounds. Undefined: one round. */
  everyMs: number | undefined
  /** The maximum number of bytes that a round may write. Undefined: only the disk limits it. */
  maxBytes: number | undefined
}

const UNITS = { s: 1_000, m: 60_000, h: 3_600_000 }
const MAX_EVERY_MS = 24 * UNITS.h

/** Parses the arguments after the command's name. Throws UsageError. */
export function readOptions(args: string[]): PullOptions {
  const values = parse(args)
  const { url, out } = values
  if (!url) throw new UsageError('--url is missing: where the service listens, such as http://host:3000')
  if (!out) throw new UsageError('--out is missing: the file to keep in sync')
  if (out === '-')
    throw new UsageError('--out expects a file, which it keeps; `usersync users export` writes to stdout')
  const format = values.format ?? extname(out).slice(1).toLowerCase()
  if (values.format !== undefined && !isFormat(format)) throw new UsageError('--format expects csv, ndjson or json')
  const source = {
    url: checkedUrl(url),
    pool: values.pool,
    filter: filterOf(values.filter),
    shard: values.shard === undefined ? undefined : shardOf(values.shard),
    credentials: credentialsOf(values.include),
    format: isFormat(format) ? format : ('csv' as const),
    shuffle: values.shuffle === undefined ? undefined : seedOf(values.shuffle),
  }
  const everyMs = values.every === undefined ? undefined : millisecondsOf(values.every)
  const maxBytes = values['max-mb'] === undefined ? undefined : bytesOf(values['max-mb'])
  return { source, out, keyFile: values['key-file'], everyMs, maxBytes }
}

function parse(args: string[]) {
  try {
    return { ...DEFAULTS, ...parseArgs({ args, options: OPTIONS }).values }
  } catch (error) {
    const message = String(error instanceof Error ? error.message : error).replaceAll('\n', ' ')
    throw new UsageError(`${message.replace(/\.$/, '')}. --help lists the options.`)
  }
}

const DEFAULTS = { pool: 'default', filter: '', include: '' }

const OPTIONS = Object.fromEntries(Object.keys(PULL_OPTIONS).map((name) => [name, { type: 'string' }])) as {
  [Name in keyof typeof PULL_OPTIONS]: { type: 'string' }
}

const isFormat = (text: string): text is Format => FORMAT_NAMES.some((name) => name === text)

const FILTERS = {
  batch_id: UUID_FORM,
  test_users_only: /^(true|false)$/,
  bulk_users_only: /^(true|false)$/,
}

function filterOf(list: string): PullSource['filter'] {
  const given = new Map<string, string>()
  for (const member of list === '' ? [] : list.split(',')) {
    const [name = '', ...rest] = member.split('=')
    const value = rest.join('=')
    const form = Object.hasOwn(FILTERS, name) ? FILTERS[name as keyof typeof FILTERS] : undefined
    if (!form) throw new UsageError(`--filter knows ${Object.keys(FILTERS).join(', ')}, each as name=value`)
    if (!form.test(value))
      throw new UsageError(`--filter ${name} expects ${name === 'batch_id' ? 'an id' : 'true or false'}`)
    if (given.has(name)) throw new UsageError(`--filter names ${name} twice`)
    given.set(name, value)
  }
  return {
    batchId: given.get('batch_id')?.toLowerCase(),
    testUsersOnly: given.get('test_users_only') !== 'false',
    bulkUsersOnly: given.get('bulk_users_only') === 'true',
  }
}

function seedOf(text: string): string {
  if (/^[!-~]{1,64}$/.test(text)) return text
  throw new UsageError('--shuffle expects 1 to 64 characters of ASCII without spaces, such as 7 or soak-test')
}

function shardOf(text: string): PullSource['shard'] {
  const [, index, count] = (/^(\d{1,4})\/(\d{1,4})$/.exec(text) ?? []).map(Number)
  if (index === undefined || count === undefined || index >= count)
    throw new UsageError('--shard expects I/N, with I from 0 to N-1 and N to 9999, such as 0/10')
  return { index, count }
}

function credentialsOf(list: string): Credential[] {
  const names = list === '' ? [] : list.split(',')
  if (names.some((name) => !CREDENTIALS.some((known) => known === name)))
    throw new UsageError(`--include knows ${CREDENTIALS.join(', ')}`)
  return CREDENTIALS.filter((name) => names.includes(name))
}

function millisecondsOf(text: string): number {
  const [, number, unit] = /^(\d{1,6})([smh])$/.exec(text) ?? []
  const time = Number(number) * UNITS[(unit ?? 's') as keyof typeof UNITS]
  if (time >= UNITS.s && time <= MAX_EVERY_MS) return time
  throw new UsageError('--every expects a time from 1s to 24h, such as 30s, 5m or 1h')
}

function bytesOf(megabytes: string): number {
  if (/^[1-9]\d{0,8}$/.test(megabytes)) return Number(megabytes) * 1_000_000
  throw new UsageError('--max-mb expects a whole number of megabytes, such as 500')
}
