import type { Answer, Call, Connection } from './connection.ts'
import type { components, operations } from './description.ts'
import { UsersyncError } from './errors.ts'
import { linesOf } from './lines.ts'
import { VERSION } from './operations.ts'

/** A user, with the credentials that were requested by `include`. */
export type User = components['schemas']['User'] & {
  password?: string | null
  password_hash?: string | null
  totp_secret?: string | null
}

/** The parameters of an export. */
export type ExportQuery = NonNullable<operations['exportUsers']['parameters']['query']>

/** The first line of an export. */
export interface ExportHead {
  kind: 'full' | 'delta' | 'unchanged'
  base: string | null
  state: string
  total_count: number
  counts: { added: number; updated: number; deleted: number }
}

/** A line of an export: the id of a deleted user, or a user and the line that is hashed. */
export type ExportRow = { deleted: string } | { user: User; line: string }

export interface OpenExport {
  head: ExportHead
  /** When the pool was created; only with `include`. */
  poolCreated: string | null
  /** Throws UsersyncError `export_cut` after the last row if the export is incomplete. */
  rows: AsyncGenerator<ExportRow, void, void>
  /** Ends the response if its rows are not read: a generator that never started cannot do it. */
  end(): Promise<unknown>
}

/** `base` is the present state. */
export interface UnchangedExport extends Pick<OpenExport, 'poolCreated'> {
  head: undefined
}

/** Requests an export as NDJSON. */
export async function openExport(
  connection: Connection,
  { base, ...call }: Call & { base?: string | undefined },
): Promise<OpenExport | UnchangedExport> {
  const headers = { accept: 'application/x-ndjson', 'if-none-match': base && `W/"${base}"` }
  return await readOpened(await connection.open('exportUsers', { ...ndjson(call), headers }))
}

/** What an address names: the delta from the base to the state, or the full export of the state. */
export interface Address {
  base: string | undefined
  state: string
}

/**
 * Requests the NDJSON export at an address. Throws UsersyncError `state_gone`, and `state_mismatch` if the response belongs to another
 * address.
 */
export async function openAddress(
  connection: Connection,
  { base, state }: Address,
  call: Call,
): Promise<OpenExport | UnchangedExport> {
  const id = base === undefined ? 'exportState' : 'exportDelta'
  const opened = await readOpened(await connection.open(id, { ...ndjson(call), path: { base, state } }))
  if (opened.head?.state === state && (opened.head.base ?? undefined) === base) return opened
  if (opened.head) await opened.end()
  throw new UsersyncError('state_mismatch', 'The response belongs to another address: is a cache set up wrong?')
}

const ndjson = (call: Call): Call => ({ ...call, query: { ...call.query, format: 'ndjson' } })

async function readOpened(answer: Answer): Promise<OpenExport | UnchangedExport> {
  const poolCreated = answer.headers.get('usersync-pool-created')
  if (answer.status === 304) {
    answer.end()
    return { head: undefined, poolCreated }
  }
  const lines = linesOf(answer.texts())
  const first = await lines.next()
  const head = first.done ? undefined : headOf(first.value)
  if (!head) {
    await lines.return()
    if (first.done) throw cut()
    throw new UsersyncError('not_usersync', 'The response is not an export: check the URL and proxies.')
  }
  if (!head.state.startsWith('u1-')) {
    await lines.return()
    throw new UsersyncError('version_mismatch', `This client (${VERSION}) does not know states such as ${head.state}.`)
  }
  return { head, poolCreated, rows: rowsOf(head, lines), end: () => lines.return() }
}

function headOf(line: string): ExportHead | undefined {
  try {
    const head = JSON.parse(line) as Partial<ExportHead> | null
    return head && typeof head.kind === 'string' && typeof head.state === 'string' ? (head as ExportHead) : undefined
  } catch {
    return undefined
  }
}

/** A body without the last line was cut off, and must not be used. */
async function* rowsOf(head: ExportHead, lines: AsyncGenerator<string, void, void>): OpenExport['rows'] {
  let users = 0
  for await (const line of lines) {
    const row = parse(line) as { deleted?: string; end?: string; lines?: number; id?: string }
    if (row.end !== undefined) {
      if (row.end !== head.state || row.lines !== users) throw cut()
      return
    }
    if (row.deleted !== undefined) yield { deleted: row.deleted }
    else if (row.id !== undefined) {
      users++
      yield { user: row as User, line: bareLine(line) }
    }
  }
  throw cut()
}

const cut = () => new UsersyncError('export_cut', 'The export ended before its last line.')

function parse(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    throw cut()
  }
}

const LAST_MEMBER = ',"updated_at":"'

/** Returns the line without credentials. Quotes within strings are escaped, so the last match is the member of the user. */
function bareLine(line: string): string {
  const end = line.indexOf('"', line.lastIndexOf(LAST_MEMBER) + LAST_MEMBER.length)
  return `${line.slice(0, end + 1)}}`
}
