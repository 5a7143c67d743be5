import { createHash } from 'node:crypto'

/** The format of a pool name, here after the @ of a scope. */
export const POOL_NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/

export const SCOPES = ['users:read', 'users:write', 'users:lease', 'credentials:read', 'admin'] as const
export type Scope = (typeof SCOPES)[number]

/** An API key and its scopes. The secret itself is not stored. */
export interface ApiKey {
  name: string
  /** Scopes in every pool. */
  scopes: ReadonlySet<Scope>
  /** For each pool that a scope of the key is bound to: all scopes of the key in that pool. */
  poolScopes: ReadonlyMap<string, ReadonlySet<Scope>>
  secretDigest: Buffer
}

/** Returns the scopes of a key in one pool. Empty: for this key the pool does not exist. */
export const scopesIn = ({ scopes, poolScopes }: ApiKey, pool: string) => poolScopes.get(pool) ?? scopes

/** The stored form of a secret. Secrets are long and random, so a plain hash is safe against guessing. */
export const digestOf = (secret: string) => createHash('sha256').update(secret).digest()
const isScope = (text: string): text is Scope => SCOPES.some((scope) => scope === text)

/** Parses `name=scope+scope@pool=secret`, separated by commas. Throws an Error that names the invalid key, never its secret. */
export const parseApiKeys = (text: string): ApiKey[] => (text === '' ? [] : readKeys(text.split(',')))

/** Parses a key file: one key per line, in the same format. Empty lines and lines that begin with # are skipped. */
export const parseApiKeysFile = (text: string): ApiKey[] =>
  readKeys(text.split(/\r?\n/).filter((line) => !/^\s*(#|$)/.test(line)))

function readKeys(entries: string[]): ApiKey[] {
  const keys = entries.map((entry): ApiKey => {
    const [, name = '', scopeList = '', secret = ''] = /^([^=]*)=([^=]*)=(.*)$/s.exec(entry.trim()) ?? []
    if (!/^[\w.-]{1,64}$/.test(name)) throw new Error('expects name=scope+scope=secret for each key')
    const scopes = readScopes(name, scopeList)
    // an HTTP client could not send such a secret in a header
    if (!/^[!-~]*$/.test(secret))
      throw new Error(
        `has a key ${name} whose secret contains whitespace or a character that is not visible ASCII (in a file, put a comment on its own line)`,
      )
    if (secret.length < 32) throw new Error(`has a key ${name} whose secret is shorter than 32 characters`)
    return { name, ...scopes, secretDigest: digestOf(secret) }
  })
  if (new Set(keys.map(({ name }) => name)).size < keys.length) throw new Error('names a key twice')
  requireOwnSecrets(keys)
  return keys
}

/** Parses `scope+scope@pool`. A scope without a pool applies to every pool. `admin` includes all scopes. */
function readScopes(name: string, list: string): Pick<ApiKey, 'scopes' | 'poolScopes'> {
  const everywhere = new Set<Scope>()
  const bound: [Scope, string][] = []
  for (const text of list.split('+')) {
    const [scope = '', pool] = text.split(/@(.*)/s)
    if (!isScope(scope)) throw new Error(`has a key ${name} with a scope that is not one of ${SCOPES.join(', ')}`)
    if (pool === undefined) for (const each of scope === 'admin' ? SCOPES : [scope]) everywhere.add(each)
    else if (scope === 'admin') throw new Error(`has a key ${name} with admin@…: admin cannot be bound to a pool`)
    else if (POOL_NAME.test(pool)) bound.push([scope, pool])
    else throw new Error(`has a key ${name} with a scope for an invalid pool name`)
  }
  const poolScopes = new Map<string, Set<Scope>>()
  for (const [scope, pool] of bound) {
    poolScopes.set(pool, (poolScopes.get(pool) ?? new Set(everywhere)).add(scope))
  }
  return { scopes: everywhere, poolScopes }
}

/** Throws an Error that names two keys with the same secret: a request with that secret could not be attributed to one of them. */
export function requireOwnSecrets(keys: readonly ApiKey[]): void {
  const names = new Map<string, string>()
  for (const { name, secretDigest } of keys) {
    const digest = secretDigest.toString('hex')
    const other = names.get(digest)
    if (other) throw new Error(`has a key ${name} with the secret of the key ${other}; give each key its own secret`)
    names.set(digest, name)
  }
}
