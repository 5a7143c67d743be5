import type { Dispatcher } from 'undici'
import { Connection } from '../client/connection.ts'
import { patient } from '../client/fetch-timeouts.ts'
import { type Client, createClient } from '../client/index.ts'
import { checkedUrl, readKey } from '../src/client/service-options.ts'
import { isCleartext } from '../src/config/loopback.ts'
import type { Command, Options, Program } from './command.ts'

/** Where the service listens unless HOST or PORT says otherwise. */
export const DEFAULT_URL = 'http://127.0.0.1:3000'

/** A person waits: 3 attempts take less than a second if nothing listens. */
const ATTEMPTS = 3

/** The options of every command that calls a service. */
const CONNECTION_OPTIONS = {
  url: { value: 'URL', description: `the service (default: USERSYNC_URL, else ${DEFAULT_URL})` },
  'key-file': { value: 'PATH', description: 'read the API key from PATH, not from USERSYNC_KEY', isFile: true },
  pool: { value: 'NAME', description: 'the pool (default: default)' },
  json: { description: 'print JSON, one value a line' },
} as const satisfies Options

/** All options of a command, in the order of its help. */
export const optionsOf = ({ options, isClient }: Command): Options => ({
  ...options,
  ...(isClient && CONNECTION_OPTIONS),
})

/** The service that a command calls. */
export interface Connected {
  client: Client
  /** What the client uses, for responses that are read as they arrive. */
  connection: Connection
  url: string
  hasKey: boolean
}

interface Given {
  url?: string
  'key-file'?: string
  pool?: string
}

/** Returns a client of the service that the options and the environment name. Throws UsageError. */
export async function connect(
  given: Given,
  { env }: Pick<Program, 'env'>,
  warn: (text: string) => void,
): Promise<Connected> {
  const { pool } = given
  const url = checkedUrl(given.url ?? (env['USERSYNC_URL'] || DEFAULT_URL))
  const key = await readKey(given['key-file'], env)
  if (key !== undefined && isCleartext(url)) warn('warning: the key goes to another machine unencrypted')
  const options = { url, key, pool, attempts: ATTEMPTS, fetch: await fetchByProxy(env) }
  return { client: createClient(options), connection: new Connection(options), url, hasKey: key !== undefined }
}

/** Node 20 has no proxy for its own fetch. Undefined if the environment names none, since undici takes a while to load. */
async function fetchByProxy(env: NodeJS.ProcessEnv): Promise<typeof fetch | undefined> {
  const names = ['HTTP_PROXY', 'HTTPS_PROXY', 'http_proxy', 'https_proxy']
  if (!names.some((name) => env[name])) return undefined
  const [undici, { connectAgent }] = await Promise.all([import('undici'), import('../src/client/peer.ts')])
  const dispatcher = patient(await connectAgent()) as Dispatcher
  return ((input: string, init: object) => undici.fetch(input, { ...init, dispatcher })) as unknown as typeof fetch
}
