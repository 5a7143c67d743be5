import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Surroundings } from './bench-surroundings.ts'

const run = promisify(execFile)
const AUTOCANNON = fileURLToPath(import.meta.resolve('autocannon/autocannon.js'))

export const CONNECTIONS = 50

/** What is read of autocannon's report. */
interface Report {
  /** Seconds. */
  duration: number
  errors: number
  timeouts: number
  statusCodeStats: Record<string, { count: number }>
}

/**
 * Asks the same again and again over 50 connections for `seconds`, from a process of its own, and gives the answers a
 * second. Throws where one fails, or is anything but `status`.
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
    throw new Error(`${url}: ${errors} errors, ${timeouts} timeouts, answers ${JSON.stringify(statusCodeStats)}`)
  }
  return expected.count / duration
}
