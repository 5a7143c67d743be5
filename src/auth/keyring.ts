import { readFile } from 'node:fs/promises'
import type { FastifyBaseLogger } from 'fastify'
import { type ApiKey, parseApiKeysFile, requireOwnSecrets } from '../config/api-keys.ts'
import { repeatEvery } from '../process/repeat.ts'

/** Poll interval. The file is compared by content: a mounted secret changes by a symlink swap, which file watchers miss. */
const POLL_MS = 1_000

/** The current keys. */
export interface Keyring {
  keys(): readonly ApiKey[]
  stop(): void
}

/**
 * Loads the configured keys and those of `file`, and follows changes of the file. A change takes effect within two seconds, for
 * all keys at once. If the file cannot be read, is invalid or has no key, the current keys stay and the error is logged: a
 * mistake neither locks clients out nor lets strangers in. Throws an Error if the file is invalid at startup.
 */
export async function openKeyring(
  { configured, file }: { configured: ApiKey[]; file: string },
  log: FastifyBaseLogger,
  pollMs = POLL_MS,
): Promise<Keyring> {
  if (file === '') return { keys: () => configured, stop: () => {} }
  let text = await readKeysFile(file)
  let keys = together(configured, text, file)
  let lastError = ''

  async function follow(): Promise<void> {
    try {
      const present = await readKeysFile(file)
      if (present === text) return
      keys = together(configured, present, file)
      text = present
      lastError = ''
      log.info({ keys: keys.map(({ name }) => name) }, 'API_KEYS_FILE reloaded')
    } catch (error) {
      const { message } = error as Error
      if (message !== lastError) log.error(`API_KEYS_FILE reload failed, keeping current keys: ${message}`)
      lastError = message
    }
  }
  const following = repeatEvery(follow, pollMs) // reads that overlapped could end in another order, and report one error twice
  return { keys: () => keys, stop: () => void following.stop() }
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
  if (keys.length === 0) throw new Error(`API_KEYS_FILE ${file} has no key`)
  const names = new Set(configured.map(({ name }) => name))
  const twice = keys.find(({ name }) => names.has(name))
  if (twice) throw new Error(`API_KEYS_FILE ${file} has the key ${twice.name}, which is also in API_KEYS`)
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
