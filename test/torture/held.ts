import { hash } from 'node:crypto'
import { parse } from 'csv-parse/sync'
import type { Answer } from './client.ts'
import type { Form } from './events.ts'

/** A user as a follower holds it: the hashed line, and everything exported, including credentials. */
interface HeldUser {
  line: string
  exported: string
}

/** The content of an export in any format. */
interface Export {
  kind: string
  base: string | null
  state: string
  deleted: string[]
  users: Map<string, HeldUser>
}

/** The users that a client holds, and the state computed from them as the contract defines it. */
export class Held {
  state: string | undefined
  users = new Map<string, HeldUser>()
  #words = new BigUint64Array(4)

  /** Applies a response with status 200. Throws an Error with the reason if it cannot be applied. */
  apply(form: Form, answer: Answer, isShard: boolean): string {
    const received = READERS[form](answer)
    if (received.kind === 'unchanged') {
      if (received.state !== this.state)
        throw new Error(`the response is unchanged with the state ${received.state} instead of ${this.state}`)
      return received.kind
    }
    if (received.kind === 'full') {
      this.users = new Map()
      this.#words.fill(0n)
    } else if (received.base !== this.state) {
      throw new Error(`the delta starts from ${received.base}, not from ${this.state}`)
    }
    for (const id of received.deleted) this.#remove(id)
    for (const [id, user] of received.users) {
      this.#remove(id)
      this.users.set(id, user)
      this.#add(user.line, 1n)
    }
    this.state = received.state
    if (!isShard && this.#name() !== received.state) {
      throw new Error(
        `after a ${received.kind} of ${received.users.size} users and ${received.deleted.length} deletions the ${this.users.size} users add up to ${this.#name()}, not to ${received.state}`,
      )
    }
    return received.kind
  }

  #remove(id: string): void {
    const user = this.users.get(id)
    if (!user) return
    this.users.delete(id)
    this.#add(user.line, -1n)
  }

  #add(line: string, sign: bigint): void {
    const digest = hash('sha256', line, 'buffer')
    for (let i = 0; i < 4; i++) this.#words[i] = (this.#words[i] ?? 0n) + sign * digest.readBigUInt64BE(i * 8)
  }

  #name(): string {
    return `u1-${[...this.#words].map((word) => word.toString(16).padStart(16, '0')).join('')}`
  }
}

/** A line that says how the users of two clients differ; undefined if they are the same. */
export function differenceOf(held: Held, full: Held): string | undefined {
  const missing = [...full.users.keys()].filter((id) => !held.users.has(id))
  const extra = [...held.users.keys()].filter((id) => !full.users.has(id))
  const other = [...full.users].filter(
    ([id, user]) => held.users.has(id) && held.users.get(id)?.exported !== user.exported,
  )
  if (missing.length + extra.length + other.length === 0) return undefined
  const [id, user] = other[0] ?? []
  const example = id && user ? `; for example ${held.users.get(id)?.exported} instead of ${user.exported}` : ''
  return `${missing.length} missing, ${extra.length} extra, ${other.length} different of ${full.users.size}${example}`
}

const CREDENTIALS = /((?:,"password(?:_hash)?":(?:null|"(?:[^"\\]|\\.)*"))+)\}$/

function heldUser(exported: string): [string, HeldUser] {
  return [exported.slice(7, 43), { line: exported.replace(CREDENTIALS, '}'), exported }]
}

const READERS: Record<Form, (answer: Answer) => Export> = { ndjson: readNdjson, json: readJson, csv: readCsv }

function readNdjson({ text }: Answer): Export {
  const rows = text.split('\n')
  const head = JSON.parse(rows[0] ?? '') as Export
  const end = JSON.parse(rows.at(-2) ?? '{}') as { end?: string; lines?: number }
  if (rows.at(-1) !== '' || end.end !== head.state) throw new Error('a complete export lacks its last line')
  const body = rows.slice(1, -2)
  const users = body.filter((row) => row.startsWith('{"id":'))
  if (users.length !== end.lines) throw new Error(`${users.length} lines, but the end line says ${end.lines}`)
  const deleted = body.filter((row) => row.startsWith('{"deleted":')).map((row) => row.slice(12, 48))
  return { ...head, deleted, users: new Map(users.map(heldUser)) }
}

/**
 * Cuts the text, because JSON.parse would lose digits. In the text of a user, every quote has a backslash before it.
 */
function readJson({ text }: Answer): Export {
  const begin = text.search(/,"(users|added)":\[/)
  const head = JSON.parse(`${text.slice(0, begin)}}`) as Export
  const cut = (from: string, to: string) => {
    const at = text.indexOf(from, begin)
    return at < 0 ? '' : text.slice(at + from.length, text.indexOf(to, at + from.length - 1))
  }
  const objects = (list: string) => list.split(/(?<=\}),(?=\{"id":")/).filter((part) => part !== '')
  const lists =
    head.kind === 'full'
      ? [text.slice(text.indexOf(',"users":[', begin) + 10, text.lastIndexOf(']}'))]
      : [cut(',"added":[', '],"updated":['), cut('],"updated":[', '],"deleted":[')]
  const at = text.lastIndexOf('],"deleted":[')
  const deleted = head.kind === 'full' ? [] : (JSON.parse(text.slice(at + 12, text.lastIndexOf('}'))) as string[])
  return { ...head, deleted, users: new Map(lists.flatMap(objects).map(heldUser)) }
}

function readCsv({ text, headers }: Answer): Export {
  const rows = parse(text, { columns: true }) as Record<string, string>[]
  const users = rows
    .filter(({ op }) => op !== 'deleted')
    .map((row): [string, HeldUser] => {
      const { op: _, ...exported } = row
      return [row['id'] ?? '', { line: lineOf(row), exported: JSON.stringify(exported) }]
    })
  return {
    kind: headers.get('usersync-kind') ?? '',
    base: headers.get('usersync-base'),
    state: headers.get('usersync-state') ?? '',
    deleted: rows.filter(({ op }) => op === 'deleted').map(({ id }) => id ?? ''),
    users: new Map(users),
  }
}

/** The user line with the cells of a CSV row. */
function lineOf(row: Record<string, string>): string {
  const text = (name: string) => `"${name}":${JSON.stringify(row[name])}`
  const plain = (name: string) => `"${name}":${row[name]}`
  const batch = row['batch_id'] === '' ? '"batch_id":null' : text('batch_id')
  return `{${[text('id'), text('username'), text('email'), text('role'), plain('is_test_user'), batch, plain('created_by_bulk'), plain('custom_attributes'), text('created_at'), text('updated_at')].join(',')}}`
}
