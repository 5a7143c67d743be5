import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Surroundings } from './bench-surroundings.ts'

const run = promisify(execFile)
const AUTOCANNON = fileURLToPath(import.meta.resolve('autocannon/autocannon.js'))

export const CONNECTIONS = 50

/** The part of autocannon's report that is used. */
interface Report {
  /** In seconds. */
  duration: number
  errors: number
  timeouts: number
  statusCodeStats: Record<string, { count: number }>
}

/**
 * Repeats a request on 50 connections for `seconds`, from a separate process. Returns the responses per second. Throws
 * if one fails or has another status than `status`.
 */
export async function load(
  { within }: Surroundings,
  url: string,
  { headers, status, seconds }: { headers: Record<string, string>; status: number; seconds: number },
): Promise<number> {
  const headerArgs = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}=${value}`])
  const args = [AUTOCANNON, '--json', '--no-progress', '-c', `${CONNECTIONS}`, '-d', `${seconds}`, ...headerArgs, url]
  const { stdout } = await within(seconds + 15, 'load', (signal) => run(process.execPath, args, { signal }))
  const { duration, errors, timeouts, statusCodeStats }: Report = JSON.parse(stdout)
  const { [status]: expected, ...others } = statusCodeStats
  if (!expected || errors + timeouts > 0 || Object.keys(others).length > 0) {
    throw new Error(`${url}: ${errors} errors, ${timeouts} timeouts, statuses ${JSON.stringify(statusCodeStats)}`)
  }
  return expected.count / duration
}
