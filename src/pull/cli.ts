import { readFile } from 'node:fs/promises'
import { extname } from 'node:path'
import { parseArgs } from 'node:util'
import { PeerError } from '../client/peer.ts'
import { FORMAT_NAMES, type Format } from '../export/format.ts'
import { ExportError } from '../protocol/read-export.ts'
import { CREDENTIALS, type Credential, UUID_FORM } from '../protocol/user-line.ts'
import type { PullSource } from './base-label.ts'
import { NoRoom } from './room.ts'

/** Thrown if the command line is wrong. The message says what to do. */
export class UsageError extends Error {
  override name = 'UsageError'
}

/** Returns the exit code of a failed pull; USAGE lists the codes. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return 2
  if (error instanceof ExportError) return 6
  if (error instanceof NoRoom) return 7
  if (error instanceof DOMException && error.name === 'TimeoutError') return 3
  if (!(error instanceof PeerError)) return 1
  if (error.fault === 'unauthorized') return 4
  return error.isPassing ? 3 : 5
}

/** Returns the key: the text of the file, else USERSYNC_KEY, if set. Throws UsageError, which never contains the key. */
export async function readKey(keyFile: string | undefined, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const text = keyFile === undefined ? env['USERSYNC_KEY'] : await readText(keyFile)
  const key = text?.trim()
  if (keyFile === undefined && !key) return undefined
  if (key && /^[\x21-\x7e]+$/.test(key)) return key
  throw new UsageError(`${keyFile ?? 'USERSYNC_KEY'} has no valid key: one word of printable ASCII is expected`)
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw new UsageError(`--key-file ${path} cannot be read (${(cause as NodeJS.ErrnoException).code})`, { cause })
  }
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

export const USAGE = `npm run pull -- --url URL --out FILE [option]...
Keeps FILE in sync with the users of a usersync service. FILE is always a complete export of one state. Next to it are
FILE.base, from which the next round continues, and FILE.lock.
  --url URL        the URL of the service, such as http://host:3000
  --out FILE       the file to keep in sync
  --format F       csv, ndjson or json (default: by the extension of FILE, else csv)
  --pool NAME      the pool (default: default)
  --filter LIST    batch_id=ID,test_users_only=true|false,bulk_users_only=true|false (any of them)
  --shard I/N      part I (0 to N-1) of N
  --include LIST   password,password_hash,totp_secret (any of them): needs the scope credentials:read
  --shuffle SEED   write the users of FILE in a random order that follows from SEED, not in that of their ids
  --every TIME     repeat, with this pause between rounds: 1s to 24h, such as 30s, 5m, 1h
  --max-mb N       write at most N MB for FILE and FILE.base together (default: leave 1 GB free, or a tenth of a smaller
                   disk)
  --key-file PATH  read the key from this file, not from the environment variable USERSYNC_KEY
  --help           print this
HTTPS_PROXY, HTTP_PROXY and NO_PROXY are respected; loopback never uses a proxy.
Exit codes: 0 in sync, or --every ended by a signal; 1 unexpected; 2 wrong usage, or another pull writes FILE; 3 not
reachable, silent or too busy; 4 the key is rejected; 5 the request is rejected; 6 the users do not match the state,
even in full; 7 --max-mb or the disk has no room for them; 130, 143 one round ended by SIGINT, SIGTERM. From 2 to 7 FILE is
unchanged.`

const UNITS = { s: 1_000, m: 60_000, h: 3_600_000 }
const MAX_EVERY_MS = 24 * UNITS.h

/** Parses the arguments after the program's name. Undefined if they request help. Throws UsageError. */
export function readOptions(args: string[]): PullOptions | undefined {
  const values = parse(args)
  if (values.help) return undefined
  const { url, out } = values
  if (!url) throw new UsageError('--url is missing: where the service listens, such as http://host:3000')
  if (!out) throw new UsageError('--out is missing: the file to keep in sync')
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
    const string = { type: 'string' } as const
    const { values } = parseArgs({
      args,
      options: {
        url: string,
        out: string,
        format: string,
        pool: { ...string, default: 'default' },
        filter: { ...string, default: '' },
        shard: string,
        include: { ...string, default: '' },
        shuffle: string,
        every: string,
        'max-mb': string,
        'key-file': string,
        help: { type: 'boolean', default: false },
      },
    })
    return values
  } catch (error) {
    const message = String(error instanceof Error ? error.message : error).replaceAll('\n', ' ')
    throw new UsageError(`${message.replace(/\.$/, '')}. --help lists the options.`)
  }
}

const isFormat = (text: string): text is Format => FORMAT_NAMES.some((name) => name === text)

/** Returns the URL without a trailing slash. Rejects credentials in it: every user of the machine can read the command line. */
function checkedUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (!url || !/^https?:$/.test(url.protocol)) throw new UsageError('--url expects an address such as http://host:3000')
  if (url.username || url.password)
    throw new UsageError('--url must not contain a key: put it into USERSYNC_KEY or --key-file')
  if (url.search || url.hash) throw new UsageError('--url expects an address without ? and #')
  return url.href.replace(/\/+$/, '')
}

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
