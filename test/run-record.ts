import { appendFileSync, existsSync, openSync, writeSync } from 'node:fs'
import { basename, join } from 'node:path'
import { readCluster } from './cluster.ts'

/*
 * The logs and error responses of the services that tests start go into one folder per run. After all tests,
 * cluster-stop.ts searches it for secrets.
 */

/** The file with the names of all started logs, one per line. */
export const BEGUN = 'begun'

const folder = await readCluster().then((cluster) =>
  cluster?.record && existsSync(cluster.record) ? cluster.record : undefined,
)
const self = `${basename(process.argv[1] ?? '')}-${process.pid}`
let begun = 0

/**
 * Starts the log of a service and returns a function that appends to it. In the lane without a database, the log is
 * discarded.
 */
export function beginLog(): (text: string | Buffer) => void {
  if (folder === undefined) return () => {}
  const name = `${self}-${++begun}.log`
  appendFileSync(join(folder, BEGUN), `${name}\n`)
  const file = openSync(join(folder, name), 'a')
  return (text) => void (typeof text === 'string' ? writeSync(file, text) : writeSync(file, text))
}

/** Records an error response, unless it is compressed. */
export function keepAnswer(status: number, headers: object, body: string | Buffer): void {
  if (folder === undefined || status < 400 || 'content-encoding' in headers) return
  appendFileSync(join(folder, `${self}.answers`), `${status} ${JSON.stringify(headers)} ${body}\n`)
}
