import { appendFileSync, existsSync } from 'node:fs'
import { basename, join } from 'node:path'
import { readCluster } from './cluster.ts'

/*
 * What the services that tests start say, and the errors that they answer, goes into one folder of the run. When all tests
 * are over, cluster-stop.ts searches it for what must never be told.
 */

/** The file with the names of the logs that were begun, a line each. */
export const BEGUN = 'begun'

const folder = await readCluster().then((cluster) =>
  cluster?.record && existsSync(cluster.record) ? cluster.record : undefined,
)
const self = `${basename(process.argv[1] ?? '')}-${process.pid}`
let begun = 0

/** Begins the log of a service; all that it says is to be given to the function. In the lane without a database it is lost. */
export function beginLog(): (text: string | Buffer) => void {
  if (folder === undefined) return () => {}
  const name = `${self}-${++begun}.log`
  appendFileSync(join(folder, BEGUN), `${name}\n`)
  return (text) => appendFileSync(join(folder, name), text)
}

/** Keeps an answer that is an error, if it is not compressed. */
export function keepAnswer(status: number, headers: object, body: string | Buffer): void {
  if (folder === undefined || status < 400 || 'content-encoding' in headers) return
  appendFileSync(join(folder, `${self}.answers`), `${status} ${JSON.stringify(headers)} ${body}\n`)
}
