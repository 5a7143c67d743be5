import { readFile } from 'node:fs/promises'
import { serviceAddress } from '../config/url.ts'

/* Where a service is, and the key for it, as programs are given them. */

/** Thrown if the command line is wrong. The message says what to do. */
export class UsageError extends Error {
  override name = 'UsageError'
}

/**
 * Returns the URL without a trailing slash, and without the `/v1` of its routes. Rejects credentials in it: every user of the machine
 * can read the command line.
 */
export function checkedUrl(text: string): string {
  const url = URL.parse(text)
  if (!url || !/^https?:$/.test(url.protocol)) throw new UsageError('--url expects an address such as http://host:3000')
  if (url.username || url.password)
    throw new UsageError('--url must not contain a key: put it into USERSYNC_KEY or --key-file')
  if (url.search || url.hash) throw new UsageError('--url expects an address without ? and #')
  return serviceAddress(url)
}

/** Returns the key: the text of the file, else USERSYNC_KEY, if set. Throws UsageError, which never contains the key. */
export async function readKey(keyFile: string | undefined, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const text = keyFile === undefined ? env['USERSYNC_KEY'] : await readText(keyFile)
  const key = text?.trim()
  if (keyFile === undefined && !key) return undefined
  if (key && /^[\x21-\x7e]+$/.test(key)) return key
  throw new UsageError(`${keyFile ?? 'USERSYNC_KEY'} has no valid key: one word of printable ASCII is expected`)
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw new UsageError(`--key-file ${path} cannot be read (${(cause as NodeJS.ErrnoException).code})`, { cause })
  }
}
