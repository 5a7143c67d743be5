import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { onServer, databaseUrl as urlOf } from '../cluster.ts'

interface Test {
  teardown(fn: () => Promise<void>): void
}

interface PlanNode {
  'Node Type': string
  'Subplan Name'?: string
  Alias?: string
  'Index Name'?: string
  'Index Cond'?: string
  Filter?: string
  'Join Filter'?: string
  'Actual Rows': number
  'Actual Loops': number
  'Rows Removed by Filter'?: number
  'Rows Removed by Join Filter'?: number
  'Rows Removed by Index Recheck'?: number
  'Shared Hit Blocks'?: number
  'Shared Read Blocks'?: number
  Plans?: PlanNode[]
}

/** A statement that ran, and what it read. */
export interface Ran {
  text: string
  /** The rows that passed through the busiest node of the plan, kept or not, over all its loops. */
  rows: number
  /** The number of 8 kB page reads, including repeated ones. */
  buffers: number
  /** The plan, one node a line, with what each node read. */
  plan(): string
}

export interface PlanRecorder {
  /** The URL of the same database through the recording proxy. */
  url: string
  /** The statements since the last call, including those of triggers. */
  take(): Ran[]
}

/**
 * Records what each statement of a database reads when it runs, whichever thread or trigger sends it. auto_explain
 * sends the plan of each statement to its client as a notice, and a proxy between the client and PostgreSQL reads these
 * notices.
 */
export async function recordPlans(t: Test, databaseUrl: string): Promise<PlanRecorder> {
  await sendPlansAsNotices(databaseUrl)
  const url = new URL(databaseUrl)
  const databasePort = Number(url.port)
  let ran: Ran[] = []
  const sockets = new Set<Socket>()
  const server = createServer({ noDelay: true }, (client) => {
    const database = connect({ port: databasePort, host: '127.0.0.1', noDelay: true })
    for (const socket of [client, database]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        client.destroy()
        database.destroy()
      })
    }
    database.on(
      'data',
      noticeReader((message) => {
        const [, json] = /^duration: .* plan:\n(.*)$/s.exec(message) ?? []
        if (json) ran.push(ranOf(JSON.parse(json)))
      }),
    )
    client.pipe(database).pipe(client)
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => void server.close(resolve))
  })
  url.port = String((server.address() as AddressInfo).port)
  url.searchParams.set('sslmode', 'disable') // the proxy reads plain messages and cannot answer a TLS request
  return {
    url: url.href,
    take() {
      const taken = ran
      ran = []
      return taken
    },
  }
}

async function sendPlansAsNotices(url: string): Promise<void> {
  const name = new URL(url).pathname.slice(1)
  await onServer(urlOf(url, 'postgres'), async (sql) => {
    const settings = {
      session_preload_libraries: 'auto_explain',
      'auto_explain.log_min_duration': '0',
      'auto_explain.log_analyze': 'on',
      'auto_explain.log_buffers': 'on',
      'auto_explain.log_timing': 'off',
      'auto_explain.log_nested_statements': 'on',
      'auto_explain.log_format': 'json',
      'auto_explain.log_level': 'notice',
    }
    for (const [setting, value] of Object.entries(settings)) {
      await sql.unsafe(`alter database "${name}" set ${setting} = '${value}'`)
    }
  })
}

/** Reads what PostgreSQL sends, in pieces, and calls `onNotice` with the message of each NoticeResponse. */
function noticeReader(onNotice: (message: string) => void): (chunk: Buffer) => void {
  let pending: Buffer = Buffer.alloc(0)
  return (chunk) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk])
    let at = 0
    while (pending.length - at >= 5) {
      const end = at + 1 + pending.readUInt32BE(at + 1)
      if (end > pending.length) break
      if (pending[at] === 0x4e) {
        const fields = pending.toString('utf8', at + 5, end).split('\0')
        onNotice(fields.find((field) => field.startsWith('M'))?.slice(1) ?? '')
      }
      at = end
    }
    pending = pending.subarray(at)
  }
}

function ranOf(explained: { 'Query Text': string; Plan: PlanNode }): Ran {
  const { Plan: plan } = explained
  return {
    text: explained['Query Text'].replace(/\s+/g, ' ').trim(),
    rows: maxRows(plan),
    buffers: maxBuffers(plan),
    plan: () => linesOf(plan).join('\n'),
  }
}

function maxRows({ Plans = [], ...node }: PlanNode): number {
  const rows =
    node['Actual Rows'] +
    (node['Rows Removed by Filter'] ?? 0) +
    (node['Rows Removed by Join Filter'] ?? 0) +
    (node['Rows Removed by Index Recheck'] ?? 0)
  return Math.max(rows * node['Actual Loops'], ...Plans.map(maxRows))
}

/** PostgreSQL runs a CTE that changes rows and that nothing reads after the rest, so the pages of the root do not include its pages. */
function maxBuffers({ Plans = [], ...node }: PlanNode): number {
  return Math.max(pagesOf(node), ...Plans.map(maxBuffers))
}

const pagesOf = (node: PlanNode) => (node['Shared Hit Blocks'] ?? 0) + (node['Shared Read Blocks'] ?? 0)

function linesOf({ Plans = [], ...node }: PlanNode, depth = 0): string[] {
  const { 'Actual Rows': rows, 'Actual Loops': loops, 'Rows Removed by Filter': removed = 0 } = node
  const name = [node['Subplan Name'], node['Node Type'], node.Alias, node['Index Name']].filter(Boolean).join(' ')
  const conditions = [node['Index Cond'], node.Filter, node['Join Filter']].filter(Boolean).join(' | ')
  const read = `${rows} rows and ${removed} removed, ${loops} times, ${pagesOf(node)} pages`
  return [`${'  '.repeat(depth)}${name}: ${read} ${conditions}`, ...Plans.flatMap((plan) => linesOf(plan, depth + 1))]
}
