import { createHash } from 'node:crypto'
import { POOL_NAME } from '../pools/pool-parameter.ts'

export const SCOPES = ['users:read', 'users:write', 'credentials:read', 'admin'] as const
export type Scope = (typeof SCOPES)[number]

/** A key and where its scopes hold. The secret itself is not kept. */
export interface ApiKey {
  name: string
  /** Scopes that hold in every pool. */
  scopes: ReadonlySet<Scope>
  /** For each pool that a scope of the key is bound to: all scopes of the key there. */
  poolScopes: ReadonlyMap<string, ReadonlySet<Scope>>
  secretDigest: Buffer
}

/** The scopes of a key in one pool. Empty: to this key the pool does not exist. */
export const scopesIn = ({ scopes, poolScopes }: ApiKey, pool: string) => poolScopes.get(pool) ?? scopes

/** What is kept of a secret. Secrets are random and long, so that a plain hash is no help to a guesser. */
export const digestOf = (secret: string) => createHash('sha256').update(secret).digest()
const isScope = (text: string): text is Scope => SCOPES.some((scope) => scope === text)

/** Reads `name=scope+scope@pool=secret`, commas between keys. Throws an Error that names the faulty key, never its secret. */
export const parseApiKeys = (text: string): ApiKey[] => (text === '' ? [] : readKeys(text.split(',')))

/** Reads a file of keys: one a line, in the same form; empty lines and those that begin with # are passed over. */
export const parseApiKeysFile = (text: string): ApiKey[] =>
  readKeys(text.split(/\r?\n/).filter((line) => !/^\s*(#|$)/.test(line)))

function readKeys(entries: string[]): ApiKey[] {
  const keys = entries.map((entry): ApiKey => {
    const [, name = '', scopeList = '', secret = ''] = /^([^=]*)=([^=]*)=(.*)$/s.exec(entry.trim()) ?? []
    if (!/^[\w.-]{1,64}$/.test(name)) throw new Error('expects name=scope+scope=secret for each key')
    const scopes = readScopes(name, scopeList)
    // no client could send it in a header as it is
    if (!/^[!-~]*$/.test(secret))
      throw new Error(
        `has a key ${name} whose secret holds whitespace or a character that is not visible ASCII (in a file a comment stands on a line of its own)`,
      )
    if (secret.length < 32) throw new Error(`has a key ${name} whose secret is shorter than 32 characters`)
    return { name, ...scopes, secretDigest: digestOf(secret) }
  })
  if (new Set(keys.map(({ name }) => name)).size < keys.length) throw new Error('names a key twice')
  requireOwnSecrets(keys)
  return keys
}

/** Reads `scope+scope@pool`: a scope without a pool holds in every pool. `admin` includes all scopes. */
function readScopes(name: string, list: string): Pick<ApiKey, 'scopes' | 'poolScopes'> {
  const everywhere = new Set<Scope>()
  const bound: [Scope, string][] = []
  for (const text of list.split('+')) {
    const [scope = '', pool] = text.split(/@(.*)/s)
    if (!isScope(scope)) throw new Error(`has a key ${name} with a scope that is not one of ${SCOPES.join(', ')}`)
    if (pool === undefined) for (const each of scope === 'admin' ? SCOPES : [scope]) everywhere.add(each)
    else if (scope === 'admin') throw new Error(`has a key ${name} with admin@…: admin cannot be bound to a pool`)
    else if (POOL_NAME.test(pool)) bound.push([scope, pool])
    else throw new Error(`has a key ${name} with a scope for a pool whose name no pool can have`)
  }
  const poolScopes = new Map<string, Set<Scope>>()
  for (const [scope, pool] of bound) {
    poolScopes.set(pool, (poolScopes.get(pool) ?? new Set(everywhere)).add(scope))
  }
  return { scopes: everywhere, poolScopes }
}

/** Throws an Error that names two keys with the same secret: nobody could tell which of them a request comes with. */
export function requireOwnSecrets(keys: readonly ApiKey[]): void {
  const names = new Map<string, string>()
  for (const { name, secretDigest } of keys) {
    const digest = secretDigest.toString('hex')
    const other = names.get(digest)
    if (other) throw new Error(`has a key ${name} with the secret of the key ${other}; give each a secret of its own`)
    names.set(digest, name)
  }
}
