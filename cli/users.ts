import { randomUUID } from 'node:crypto'
import { lstat, open, rename, rm } from 'node:fs/promises'
import { extname } from 'node:path'
import { UsersyncError } from '../client/index.ts'
import { UsageError } from '../src/client/service-options.ts'
import { UUID_FORM } from '../src/protocol/user-line.ts'
import { isNoRoom } from '../src/pull/room.ts'
import { printed } from './batch.ts'
import { type Call, clientCommand, type Options } from './command.ts'
import { DONE } from './exit-codes.ts'
import { openFile } from './input.ts'
import { firstItems, jsonLines, limitOption } from './listing.ts'
import { facts, grouped, table, users } from './table.ts'

const FORMATS = ['json', 'ndjson', 'csv'] as const
type Format = (typeof FORMATS)[number]

const FORMAT = { value: 'F', choices: FORMATS } as const
const BATCH = { value: 'ID', description: 'only the users of this batch' } as const

/** `usersync users list`. */
export const listUsers = clientCommand({
  summary: 'lists users',
  members: { batch_id: '--batch' },
  options: {
    batch: BATCH,
    username: { value: 'NAME', description: 'only the user with exactly this name' },
    sort: { value: 'KEYS', description: 'such as username or -created_at,username (default: id)' },
    limit: limitOption('users'),
  },
  examples: ['usersync users list --limit 20', 'usersync users list --sort -created_at,username --json'],
  async run(call) {
    const { values, client, program, json } = call
    const { batch, username, sort } = values
    const filter = { ...(batch && { batch_id: batch }), ...(username && { username }), ...(sort && { sort }) }
    const found = await firstItems(values.limit, (page) =>
      client.request('listUsers', { query: { ...filter, ...page }, signal: program.stop }),
    )
    const rows = found.map(({ id, username, email, role, batch_id }) => [id, username, email, role, batch_id])
    await call.print(json ? jsonLines(found) : table(['id', 'username', 'email', 'role', 'batch'], rows))
    return DONE
  },
})

/** `usersync users get`. */
export const getUser = clientCommand({
  summary: 'shows one user',
  args: { USER: 'an id or a username' },
  members: { id: 'USER', username: 'USER' },
  examples: ['usersync users get testuser_1@example.com', 'usersync users get testuser_1@example.com --json'],
  async run(call) {
    const { client, program, json } = call
    const [name = ''] = call.args
    const signal = program.stop
    const user = UUID_FORM.test(name)
      ? await client.request('getUser', { path: { id: name }, signal })
      : (await client.request('listUsers', { query: { username: name }, signal })).items[0]
    if (!user) throw new UsersyncError('user_not_found', `user_not_found: there is no user ${name}`, { status: 404 })
    const shown = { ...user, custom_attributes: JSON.stringify(user.custom_attributes) }
    await call.print(json ? jsonLines([user]) : facts(shown))
    return DONE
  },
})

/** `usersync users import`. */
export const importUsers = clientCommand({
  summary: 'imports users from a file',
  args: { FILE: 'CSV, NDJSON or a JSON array; - is stdin' },
  options: {
    format: { ...FORMAT, description: 'csv, ndjson or json (default: by the extension of FILE)' },
    'on-conflict': {
      value: 'ACTION',
      choices: ['fail', 'skip', 'update'],
      description: 'fail, skip or update: what happens to users that exist (default: fail)',
    },
    label: { value: 'TEXT', description: 'a label, to find the batch again' },
  },
  details: 'The service applies a file as a whole, or not at all if it is cut off.',
  examples: [
    'usersync users import users.csv --on-conflict update',
    'zcat users.ndjson.gz | usersync users import - --format ndjson',
  ],
  async run(call) {
    const { client, program, values } = call
    const [path = ''] = call.args
    const format = formatOf(values.format, path)
    if (!format) throw new UsageError('users import: --format is missing: csv, ndjson or json')
    const { stream, bytes } = await openFile(program, 'users import', path)
    call.goesOn('The service applies nothing of a file that is cut off. `usersync batch list` shows a finished import.')
    const batch = await client.users.import(counted(call, stream, bytes), {
      format,
      ...(values['on-conflict'] && { on_conflict: values['on-conflict'] as 'fail' | 'skip' | 'update' }),
      ...(values.label !== undefined && { label: values.label }),
      signal: program.stop,
      timeoutMs: LONG_MS,
      deadlineMs: LONG_MS,
    })
    return await printed(call, batch)
  },
})

/** An upload takes as long as its sender needs. */
const LONG_MS = 86_400_000

async function* counted(call: Call<Options>, stream: AsyncIterable<Buffer>, bytes: number | undefined) {
  let sent = 0
  const total = bytes === undefined ? '' : ` of ${grouped(Math.ceil(bytes / 1000))}`
  for await (const part of stream) {
    sent += part.length
    call.progress(`sending, ${grouped(Math.ceil(sent / 1000))}${total} KB`)
    yield part
  }
}

/** `usersync users export`. */
export const exportUsers = clientCommand({
  summary: 'writes all users to a file, or to stdout',
  args: { '[FILE]': 'default: -, which is stdout' },
  members: { batch_id: '--batch' },
  options: {
    format: { ...FORMAT, description: 'csv, ndjson or json (default: by the extension of FILE, else ndjson)' },
    batch: BATCH,
    shard: { value: 'I/N', description: 'part I (0 to N-1) of N' },
    include: {
      value: 'LIST',
      description: 'password, password_hash, totp_secret; any of them, with commas. Needs the scope credentials:read',
    },
  },
  details: 'FILE is replaced when the export is complete. To keep a file in step: usersync pull.',
  examples: ['usersync users export users.csv', 'usersync users export --format csv --include password | head -3'],
  async run(call) {
    const { values, program, connection } = call
    const [path = '-'] = call.args
    const format = formatOf(values.format, path) ?? 'ndjson'
    const answer = await connection.open('exportUsers', {
      query: { format, differential: false, batch_id: values.batch, shard: values.shard, include: values.include },
      signal: program.stop,
    })
    try {
      const texts = complete(answer.texts(), format)
      if (path === '-') for await (const text of texts) await call.print(text)
      else await replaceFile(path, values.include ? 0o600 : 0o666, shown(call, texts))
      return DONE
    } finally {
      answer.end() // if the file cannot be written, nobody reads the body, and its timer would keep the process for 30 s
    }
  },
})

/** How a complete export ends. A CSV has no last line of its own. */
const ENDS = { json: /\]\}\n$/, ndjson: /(^|\n)\{"end":"[^"]+","lines":\d+\}\n$/, csv: /\n$/ }
const END_CHARACTERS = 200

/** Throws UsersyncError `export_cut` at the end of a body that is cut: a proxy may end it as if it were complete. */
async function* complete(texts: AsyncIterable<string>, format: Format) {
  let end = ''
  for await (const text of texts) {
    end = (end + text).slice(-END_CHARACTERS)
    yield text
  }
  if (!ENDS[format].test(end)) throw new UsersyncError('export_cut', 'The export ended before its last line.')
}

async function* shown(call: Call<Options>, texts: AsyncIterable<string>) {
  let lines = 0
  for await (const text of texts) {
    lines += text.split('\n').length - 1
    call.progress(`receiving, ${users(lines)}`)
    yield text
  }
}

/** Writes a file beside `path`, which it replaces at the end: a program that reads `path` never sees a part. */
async function replaceFile(path: string, mode: number, texts: AsyncIterable<string>): Promise<void> {
  const present = await lstat(path).catch(() => undefined)
  if (present && !present.isFile()) throw new UsageError(`users export: ${path} is not a regular file`)
  const part = `${path}.${randomUUID().slice(0, 8)}.part` // of this export alone: another one, or a pull, may write the same file
  try {
    await using file = await open(part, 'wx', mode)
    for await (const text of texts) await file.writeFile(text)
    await file.sync()
    await rename(part, path)
  } catch (error) {
    await rm(part, { force: true }).catch(() => {})
    const { code, syscall } = error as NodeJS.ErrnoException
    throw syscall === 'open' && !isNoRoom(error)
      ? new UsageError(`users export: ${path} cannot be written (${code})`)
      : error
  }
}

/** Undefined if neither the option nor the extension of the file names a format. */
function formatOf(given: string | undefined, path: string): Format | undefined {
  const name = given ?? extname(path).slice(1).toLowerCase()
  return FORMATS.find((format) => format === name)
}
