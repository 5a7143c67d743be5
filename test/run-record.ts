import { appendFileSync, existsSync, openSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { recordAnswers } from './answer-record.ts'
import { readCluster } from './cluster.ts'

/*
 * The logs and error responses of the services that tests start go into one folder per run. After all tests,
 * cluster-stop.ts searches it for secrets, and compares the answers with the API description.
 */

/** The file with the names of all started logs, one per line. */
export const BEGUN = 'begun'

const folder = await readCluster().then((cluster) =>
  cluster?.record && existsSync(cluster.record) ? cluster.record : undefined,
)
const self = `${basename(process.argv[1] ?? '')}-${process.pid}`
let begun = 0

if (folder !== undefined) recordAnswers(folder, self)

/**
 * Starts the log of a service and returns a function that appends to it. In the lane without a database, the log is
 * discarded.
 */
export function beginLog(): (text: string | Buffer) => void {
  if (folder === undefined) return () => {}
  const name = `${self}-${++begun}.log`
  appendFileSync(join(folder, BEGUN), `${name}\n`)
  let file: number | undefined // opened by the first line, because the search reports a log without a line
  return (text) => {
    file ??= openSync(join(folder, name), 'a')
    appendFileSync(file, text)
  }
}

/** Records an error response, unless it is compressed. */
export function keepAnswer(status: number, headers: object, body: string | Buffer): void {
  if (folder === undefined || status < 400 || 'content-encoding' in headers) return
  appendFileSync(join(folder, `${self}.answers`), `${status} ${JSON.stringify(headers)} ${body}\n`)
}

/** What this process has recorded in files with this ending. */
export async function recordOf(ending: string): Promise<string> {
  if (folder === undefined) return ''
  const own = new RegExp(`-${process.pid}[-.]`)
  const files = (await readdir(folder)).filter((name) => own.test(name) && name.endsWith(ending))
  return (await Promise.all(files.map((name) => readFile(join(folder, name), 'utf8')))).join('')
}
