import { createReadStream } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { UsageError } from '../src/client/service-options.ts'
import type { Program } from './command.ts'

/** Parses a positive whole number. Throws UsageError that names it. */
export function countOf(name: string, given: string): number {
  if (/^[1-9]\d{0,14}$/.test(given)) return Number(given)
  throw new UsageError(`${name} expects a whole number from 1, such as 100`)
}

/** Opens a file, or stdin for `-`. Returns its size too, where it is known. Throws UsageError. */
export async function openFile(
  { stdin }: Program,
  name: string,
  path: string,
): Promise<{ stream: Readable; bytes: number | undefined }> {
  if (path === '-') return { stream: stdin, bytes: undefined }
  try {
    const found = await stat(path)
    if (found.isDirectory()) throw new UsageError(`${name}: ${path} is a folder`)
    if (found.isFile()) await (await open(path)).close() // the stream would fail within the request
    return { stream: createReadStream(path), bytes: found.isFile() ? found.size : undefined }
  } catch (cause) {
    if (cause instanceof UsageError) throw cause
    throw new UsageError(`${name}: ${path} cannot be read (${(cause as NodeJS.ErrnoException).code})`, { cause })
  }
}

/** Reads an object from a JSON file, or from stdin for `-`. Throws UsageError. */
export async function readJsonFile(program: Program, name: string, path: string): Promise<Record<string, unknown>> {
  const { stream } = await openFile(program, name, path)
  try {
    const value: unknown = JSON.parse(await text(stream))
    if (value !== null && typeof value === 'object' && !Array.isArray(value)) return value as Record<string, unknown>
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause
  }
  throw new UsageError(`${name}: ${path} is no JSON object`)
}
