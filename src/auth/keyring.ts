import { readFile } from 'node:fs/promises'
import type { FastifyBaseLogger } from 'fastify'
import { type ApiKey, parseApiKeysFile, requireOwnSecrets } from '../config/api-keys.ts'

/** How often the file is looked at: by its content, since a mounted secret changes by a link, which no watcher tells. */
const POLL_MS = 1_000

/** The keys in force. */
export interface Keyring {
  keys(): readonly ApiKey[]
  stop(): void
}

/**
 * The configured keys, and those of `file`, which is followed: a changed one takes effect within two seconds, all of its
 * keys at once. One that cannot be read, is faulty or holds no key changes nothing and is logged, so that a slip neither
 * locks everybody out nor lets anybody in. Throws an Error where it is so at the start.
 */
export async function openKeyring(
  { configured, file }: { configured: ApiKey[]; file: string },
  log: FastifyBaseLogger,
  pollMs = POLL_MS,
): Promise<Keyring> {
  if (file === '') return { keys: () => configured, stop: () => {} }
  let text = await readKeysFile(file)
  let keys = together(configured, text, file)
  let told = ''

  async function follow(): Promise<void> {
    try {
      const present = await readKeysFile(file)
      if (present === text) return
      keys = together(configured, present, file)
      text = present
      told = ''
      log.info({ keys: keys.map(({ name }) => name) }, 'the keys were read anew')
    } catch (error) {
      const { message } = error as Error
      if (message !== told) log.error(`the keys stay as they are: ${message}`)
      told = message
    }
  }
  const poll = setInterval(follow, pollMs)
  return { keys: () => keys, stop: () => clearInterval(poll) }
}

async function readKeysFile(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw new Error(`API_KEYS_FILE ${file} cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
}

function together(configured: ApiKey[], text: string, file: string): ApiKey[] {
  const keys = faultyAt(file, () => parseApiKeysFile(text))
  if (keys.length === 0) throw new Error(`API_KEYS_FILE ${file} holds no key`)
  const names = new Set(configured.map(({ name }) => name))
  const twice = keys.find(({ name }) => names.has(name))
  if (twice) throw new Error(`API_KEYS_FILE ${file} holds the key ${twice.name}, which is in API_KEYS too`)
  const all = [...configured, ...keys]
  faultyAt(file, () => requireOwnSecrets(all))
  return all
}

function faultyAt<Result>(file: string, read: () => Result): Result {
  try {
    return read()
  } catch (error) {
    throw new Error(`API_KEYS_FILE ${file} ${(error as Error).message}`)
  }
}
