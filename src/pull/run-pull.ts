import { open } from 'node:fs/promises'
import { readKey } from '../client/service-options.ts'
import { isCleartext } from '../config/loopback.ts'
import { Stopped } from '../process/shutdown.ts'
import { CREDENTIALS, type Credential, parseUserLine } from '../protocol/user-line.ts'
import { type PullSource, readBound } from './base-label.ts'
import { exitCodeOf, readOptions, UNAUTHORIZED } from './cli.ts'
import { lockOut, type OutFiles, outFiles } from './files.ts'
import { createReport, progressText, type Terminal } from './report.ts'
import { keepInStep } from './rounds.ts'

interface PullProgram {
  env: NodeJS.ProcessEnv
  stderr: Terminal
  /** Ends the pull when aborted with `Stopped`. */
  stop: AbortSignal
  /** The pause after the first failed attempt. */
  firstPauseMs?: number
}

/** Keeps a file in sync, as these arguments of `usersync pull` say. Returns the exit code; docs/command.md lists them. */
export async function runPull(args: string[], program: PullProgram): Promise<number> {
  const { stderr, stop } = program
  const report = createReport(stderr)
  try {
    const { source, out, keyFile, everyMs, maxBytes } = readOptions(args)
    const key = await readKey(keyFile, program.env)
    if (key !== undefined && isCleartext(source.url))
      report.line('warning: the key goes to another machine unencrypted')
    const files = outFiles(out)
    using _lock = await lockOut(files)
    const warning = await lostLogins(files, source)
    if (warning) report.line(warning)
    const onProgress = (...progress: Parameters<typeof progressText>) => report.progress(progressText(...progress))
    const { firstPauseMs } = program
    try {
      await keepInStep({ source, files, key, maxBytes, onProgress, firstPauseMs }, everyMs, stop, report)
    } catch (error) {
      if (everyMs === undefined || !stop.aborted) throw error
    }
    return 0
  } catch (error) {
    const code = stop.reason instanceof Stopped ? stop.reason.exitCode : exitCodeOf(error)
    const hint = code === UNAUTHORIZED ? ' Check USERSYNC_KEY or --key-file.' : ''
    report.line(`usersync: ${error instanceof Error ? error.message : String(error)}${hint}`)
    return code
  }
}

/** Enough for the header of a CSV file, and for the first user of an NDJSON file unless its attributes are very long. */
const MAX_BEGINNING_BYTES = 65_536

/**
 * Returns a warning if the next round removes logins from the files: they contain some that `source` does not include. Every round
 * writes exactly the logins of its `--include`.
 */
export async function lostLogins(files: OutFiles, source: PullSource): Promise<string | undefined> {
  const present = new Set([...(await loginsOfBase(files.base)), ...(await loginsOfOut(files.out))])
  const lost = CREDENTIALS.filter((name) => present.has(name) && !source.credentials.includes(name))
  if (lost.length === 0) return undefined
  const kept = CREDENTIALS.filter((name) => present.has(name) || source.credentials.includes(name))
  return `warning: ${files.out} has ${lost.join(' and ')}, and this pull removes them; to keep them, add --include ${kept.join()}`
}

async function loginsOfBase(path: string): Promise<Credential[]> {
  const { include } = readBound(await beginningOf(path)) as { include?: unknown }
  return CREDENTIALS.filter((name) => Array.isArray(include) && include.includes(name))
}

/** The logins of a CSV or NDJSON file, by its first lines. Those of a JSON file only its base names. */
async function loginsOfOut(path: string): Promise<Credential[]> {
  const [header = '', user = ''] = (await beginningOf(path)).split('\n')
  const names = [...header.split(','), ...(parseUserLine(user)?.credentials.keys() ?? [])]
  return CREDENTIALS.filter((name) => names.includes(name))
}

/** Returns the beginning of a file; empty if it does not exist. */
async function beginningOf(path: string): Promise<string> {
  try {
    await using handle = await open(path)
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(MAX_BEGINNING_BYTES))
    return buffer.toString('utf8', 0, bytesRead)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
}
