import type { Sql } from 'postgres'
import { PeerError } from '../../client/peer.ts'
import { readUserLines } from '../../export/user-lines.ts'
import type { Sink } from '../kinds/kind.ts'
import type { Target } from '../targets.ts'
import { type Canary, usersOf } from './canary-settings.ts'
import type { logIn as LogIn, Login, LoginFault } from './logins.ts'

/** What the logins of a run showed, in API responses. */
export interface CanaryResult {
  ok: boolean
  /** Users that were tried. */
  users: number
  /** Medians. Null: nobody logged in. */
  first_login_ms: number | null
  second_login_ms: number | null
  /** Whether the first login seems to have hashed the password again. */
  rehash_suspected: boolean
  failures: { username: string; detail: string }[]
}

/** A user that a run has sent. */
export interface Sent {
  userId: string
  external: string
}

interface CanaryParts {
  sql: Sql
  encryptionKey: Buffer
  sink: Sink
  target: Target
  canary: Canary
  signal: AbortSignal
}

/** How many sent users are kept for each that logs in: the passwords of some may not be known. */
const SPARE = 4

/** Keeps a random sample of the users that a run sends (algorithm R: Vitter, Random Sampling with a Reservoir, 1985). */
export function createSample(canary: Canary | null): { users: Sent[]; add: (sent: Sent) => void } {
  const size = canary === null ? 0 : usersOf(canary) * SPARE
  const users: Sent[] = []
  let seen = 0
  const add = (sent: Sent) => {
    const place = Math.floor(Math.random() * ++seen)
    if (users.length < size) users.push(sent)
    else if (place < size) users[place] = sent
  }
  return { users, add }
}

/** A first login that takes this much longer than the second one, and at least 20 ms longer, hashed the password again. */
const REHASH_RATIO = 1.6
const REHASH_MS = 20

/**
 * Logs some of these users in, twice each. A login that gets no answer is a failed one. Throws PeerError if the target does not show
 * its hashes.
 */
export async function runCanary(parts: CanaryParts, sent: Sent[]): Promise<CanaryResult> {
  const { canary, sink, signal } = parts
  const users = shuffled(await withPasswords(parts, sent)).slice(0, usersOf(canary))
  const tries: Try[] = []
  for (const user of users) {
    signal.throwIfAborted()
    tries.push(
      canary.kind === 'sql_hash' ? await compareHash(user, sink) : await logInTwice(canary, user, sink, signal),
    )
  }
  const failures = tries.flatMap(({ user, fault }) =>
    fault === undefined ? [] : [{ username: user.username, detail: fault }],
  )
  if (users.length === 0) failures.push({ username: '', detail: NO_PASSWORDS })
  const good = tries.filter(({ fault }) => fault === undefined)
  const first = median(good.flatMap(({ firstMs }) => firstMs ?? []))
  const second = median(good.flatMap(({ secondMs }) => secondMs ?? []))
  const isSlower = first !== null && second !== null && first > second * REHASH_RATIO && first - second > REHASH_MS
  return {
    ok: failures.length === 0,
    users: users.length,
    first_login_ms: first,
    second_login_ms: second,
    rehash_suspected: tries.some(({ isRehashed }) => isRehashed) || (isSlower && !tries.some(({ isKept }) => isKept)),
    failures,
  }
}

const NO_PASSWORDS = 'The service knows no password of the users that this run sent: those of imports are not known.'

type User = Login & { external: string; hash: string | null }

/** The first of a sample of few users would always be the same. */
const shuffled = <Item>(items: Item[]): Item[] =>
  items
    .map((item) => ({ item, place: Math.random() }))
    .toSorted((a, b) => a.place - b.place)
    .map(({ item }) => item)

/** Loads the HTML parser with the first login: 15 ms of CPU time, and few services have a canary. */
const logIn: typeof LogIn = async (...login) => (await import('./logins.ts')).logIn(...login)

/** What happened with one user. */
interface Try {
  user: User
  fault: LoginFault | undefined
  firstMs?: number
  secondMs?: number
  /** Whether the stored hash changed at the login, or is known to be the same. Neither if the target cannot be asked. */
  isRehashed?: boolean
  isKept?: boolean
}

async function withPasswords({ sql, encryptionKey, target }: CanaryParts, sent: Sent[]): Promise<User[]> {
  const filter = { poolId: target.poolId, ...target.filter }
  const externals = new Map(sent.map(({ userId, external }) => [userId, external]))
  const lines = await readUserLines(sql, { filter, credentials: ['password', 'password_hash'], encryptionKey }, [
    ...externals.keys(),
  ])
  return lines.flatMap((line) => {
    const { id, username, email, password, password_hash: hash } = JSON.parse(line)
    return password === null ? [] : [{ username, email, password, hash, external: externals.get(id) ?? '' }]
  })
}

async function logInTwice(
  canary: Exclude<Canary, { kind: 'sql_hash' }>,
  user: User,
  sink: Sink,
  signal: AbortSignal,
): Promise<Try> {
  const login = () => ('url' in canary ? logIn(canary, user, signal) : logInAtTarget(user, sink))
  const hashNow = async () => (await sink.storedHashes?.([user.external]))?.[0]
  try {
    const before = await hashNow()
    const { fault, ms: firstMs } = await login()
    if (fault !== undefined) return { user, fault }
    const after = await hashNow()
    const { fault: secondFault, ms: secondMs } = await login()
    const isKnown = before !== undefined && after !== undefined
    return {
      user,
      fault: secondFault,
      firstMs,
      secondMs,
      isRehashed: isKnown && before !== after,
      isKept: isKnown && before === after,
    }
  } catch (error) {
    if (error instanceof PeerError) return { user, fault: error.message }
    throw error
  }
}

/** Logs a user in at the target itself. */
async function logInAtTarget({ external, password }: User, sink: Sink): ReturnType<typeof logIn> {
  const started = performance.now()
  try {
    await sink.logIn?.(external, password)
    return { fault: undefined, ms: performance.now() - started }
  } catch (error) {
    if (!(error instanceof PeerError) || error.fault !== 'unauthorized') throw error
    return { fault: 'The target refuses the login.', ms: performance.now() - started }
  }
}

/** Compares the hash at the target with ours. Another one is there if the system hashed the password again, or it was changed there. */
async function compareHash(user: User, sink: Sink): Promise<Try> {
  const [stored] = (await sink.storedHashes?.([user.external])) ?? []
  if (stored === undefined || stored === null) return { user, fault: 'The target has no hash of the user.' }
  const isKept = user.hash !== null && stored.endsWith(user.hash)
  return {
    user,
    fault: isKept ? undefined : 'The target has another hash than the one that was sent.',
    isRehashed: !isKept,
  }
}

function median(values: number[]): number | null {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted[sorted.length >> 1]
  return middle === undefined ? null : Math.round(middle * 10) / 10
}
