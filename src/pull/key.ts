import { readFile } from 'node:fs/promises'
import { UsageError } from './usage-error.ts'

/** The key to ask with: what the file holds, else USERSYNC_KEY, if there is one. Throws UsageError, which never tells it. */
export async function readKey(keyFile: string | undefined): Promise<string | undefined> {
  const text = keyFile === undefined ? process.env['USERSYNC_KEY'] : await readText(keyFile)
  const key = text?.trim()
  if (keyFile === undefined && !key) return undefined
  if (key && /^[\x21-\x7e]+$/.test(key)) return key
  throw new UsageError(`${keyFile ?? 'USERSYNC_KEY'} holds no key: one word of printable ASCII is expected`)
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw new UsageError(`--key-file ${path} cannot be read (${(cause as NodeJS.ErrnoException).code})`, { cause })
  }
}
