import { hash } from 'node:crypto'
import { parse } from 'csv-parse/sync'
import type { Answer } from './client.ts'
import type { Form } from './events.ts'

/** A user as a follower holds it: the line that is hashed, and all that the export told, logins included. */
interface HeldUser {
  line: string
  told: string
}

/** What an export says, in whatever form. */
interface Export {
  kind: string
  base: string | null
  state: string
  deleted: string[]
  users: Map<string, HeldUser>
}

/** What a client holds, and the state that it adds up to by the definition in the contract. */
export class Held {
  state: string | undefined
  users = new Map<string, HeldUser>()
  #words = new BigUint64Array(4)

  /** Applies an answer of 200. Throws an Error that says why it cannot be applied. */
  apply(form: Form, answer: Answer, isShard: boolean): string {
    const told = READERS[form](answer)
    if (told.kind === 'unchanged') {
      if (told.state !== this.state) throw new Error(`unchanged, but of the state ${told.state}, not ${this.state}`)
      return told.kind
    }
    if (told.kind === 'full') {
      this.users = new Map()
      this.#words.fill(0n)
    } else if (told.base !== this.state) {
      throw new Error(`the delta leads on from ${told.base}, not from ${this.state}`)
    }
    for (const id of told.deleted) this.#remove(id)
    for (const [id, user] of told.users) {
      this.#remove(id)
      this.users.set(id, user)
      this.#add(user.line, 1n)
    }
    this.state = told.state
    if (!isShard && this.#name() !== told.state) {
      throw new Error(
        `after a ${told.kind} of ${told.users.size} users and ${told.deleted.length} deletions the ${this.users.size} users add up to ${this.#name()}, not to ${told.state}`,
      )
    }
    return told.kind
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

/** How two clients' users differ, in a line; undefined where they do not. */
export function differenceOf(held: Held, full: Held): string | undefined {
  const missing = [...full.users.keys()].filter((id) => !held.users.has(id))
  const extra = [...held.users.keys()].filter((id) => !full.users.has(id))
  const other = [...full.users].filter(([id, user]) => held.users.has(id) && held.users.get(id)?.told !== user.told)
  if (missing.length + extra.length + other.length === 0) return undefined
  const [id, user] = other[0] ?? []
  const example = id && user ? `; such as ${held.users.get(id)?.told} in place of ${user.told}` : ''
  return `${missing.length} missing, ${extra.length} too many, ${other.length} different of ${full.users.size}${example}`
}

const CREDENTIALS = /((?:,"password(?:_hash)?":(?:null|"(?:[^"\\]|\\.)*"))+)\}$/

function heldUser(told: string): [string, HeldUser] {
  return [told.slice(7, 43), { line: told.replace(CREDENTIALS, '}'), told }]
}

const READERS: Record<Form, (answer: Answer) => Export> = { ndjson: readNdjson, json: readJson, csv: readCsv }

function readNdjson({ text }: Answer): Export {
  const rows = text.split('\n')
  const head = JSON.parse(rows[0] ?? '') as Export
  const end = JSON.parse(rows.at(-2) ?? '{}') as { end?: string; lines?: number }
  if (rows.at(-1) !== '' || end.end !== head.state)
    throw new Error('an export that came as a whole lacks its last line')
  const told = rows.slice(1, -2)
  const users = told.filter((row) => row.startsWith('{"id":'))
  if (users.length !== end.lines) throw new Error(`${users.length} lines, and the end says ${end.lines}`)
  const deleted = told.filter((row) => row.startsWith('{"deleted":')).map((row) => row.slice(12, 48))
  return { ...head, deleted, users: new Map(users.map(heldUser)) }
}

/** Cuts the text, since JSON.parse would lose digits. In no user's text is a quote without a backslash before it. */
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
      const { op: _, ...told } = row
      return [row['id'] ?? '', { line: lineOf(row), told: JSON.stringify(told) }]
    })
  return {
    kind: headers.get('usersync-kind') ?? '',
    base: headers.get('usersync-base'),
    state: headers.get('usersync-state') ?? '',
    deleted: rows.filter(({ op }) => op === 'deleted').map(({ id }) => id ?? ''),
    users: new Map(users),
  }
}

/** The user line that cells of CSV tell. */
function lineOf(row: Record<string, string>): string {
  const text = (name: string) => `"${name}":${JSON.stringify(row[name])}`
  const plain = (name: string) => `"${name}":${row[name]}`
  const batch = row['batch_id'] === '' ? '"batch_id":null' : text('batch_id')
  return `{${[text('id'), text('username'), text('email'), text('role'), plain('is_test_user'), batch, plain('created_by_bulk'), plain('custom_attributes'), text('created_at'), text('updated_at')].join(',')}}`
}
