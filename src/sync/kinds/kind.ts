import type { Static, TSchema } from 'typebox'
import type { PeerError } from '../../client/peer.ts'
import type { FieldError } from '../../errors.ts'

/** A member of a user that is no secret. */
export type UserMember = Exclude<keyof SinkUser, 'password_hash' | 'password'>

/** A user as a kind renders it: the members of its line that the kind reads, and the secrets that the mapping names. */
export interface SinkUser {
  id: string
  username: string
  email: string
  role: string
  batch_id: string | null
  custom_attributes: Record<string, unknown>
  created_at: string
  updated_at: string
  /** Null if the user has none. */
  password_hash?: string | null
  password?: string | null
}

/** Bounds of what is sent: users per batch, batches at a time, users per second. */
export interface Limits {
  batch: number
  concurrency: number
  /** Null: as fast as the target is. */
  per_second: number | null
}

/** Why a target refuses one user. Both texts go to clients: they contain no secret and no text of the target's driver. */
export interface Refusal {
  code:
    | 'exists_already'
    | 'credential_missing'
    | 'hash_unsupported'
    | 'value_missing'
    | 'value_invalid'
    | 'still_referenced'
    | 'refused'
    | 'unavailable'
  detail: string
}

/** Stands for what identifies a user if nobody knows whether the target has the user. */
export const UNSURE = '?'

/** What became of one user. */
export interface Outcome {
  userId: string
  /** What identifies the user at the target afterwards. Null: nothing of the user is there. */
  external: string | null
  /** Set if the target refused the change. Then `external` is what is there nevertheless. */
  refusal?: Refusal
}

/**
 * A user that the target did not take because of a fault of its own. It is still due. `external` is UNSURE if it may have been created
 * nevertheless.
 */
export type Failed = Pick<Outcome, 'userId' | 'external'> & { fault: PeerError }

/** One user to create (`external` is null) or to change. */
export interface Delivery<Rendered = unknown> {
  userId: string
  external: string | null
  rendered: Rendered
}

/** Users to remove. */
export interface Removal {
  userId: string
  external: string
}

/**
 * Records what a transaction of the target is about to make true, before it commits, or what requests may make true, before they are
 * sent. The marker names them to `Sink.outcomeOf`. Throws if the run belongs to another process: then nothing must be committed.
 */
export type Announce = (marker: string, outcomes: Outcome[]) => Promise<void>

/**
 * An open connection to a target. Each method throws PeerError for faults of the target as a whole, and none for what it does with
 * single users.
 */
export interface Sink<Rendered = unknown> {
  /** Checks that the target can take users: connection, login, everything that the mapping names. */
  probe(): Promise<void>
  /** Creates and changes users. Only what an earlier outcome identified is changed. Throws if no user arrives because of a fault. */
  send(users: Delivery<Rendered>[], announce: Announce): Promise<(Outcome | Failed)[]>
  /** Removes users. A user that is not there any more is removed, too. Throws if none is removed because of a fault. */
  remove(users: Removal[], announce: Announce): Promise<(Outcome | Failed)[]>
  /**
   * Whether the transaction behind a marker was committed. `unknown`: the target cannot say it. Then what was announced counts as done,
   * and its users are sent once more.
   */
  outcomeOf(marker: string): Promise<'committed' | 'aborted' | 'unknown'>
  /** The password hashes that the target has of these users, null if it has none. Not every target shows them. */
  storedHashes?(externals: string[]): Promise<(string | null)[]>
  /** Logs a user in. Throws PeerError `unauthorized` if the target refuses it. Not every target is what users log in to. */
  logIn?(external: string, password: string): Promise<void>
  close(): Promise<void>
}

/** Where a sink is, and with what it is opened. */
export interface SinkAddress {
  url: string
  key: string | undefined
  mapping: object
  /** Batches at a time. */
  connections: number
  /** Aborts if the run ends: requests and waits end with it. */
  signal: AbortSignal
}

/** The faults of a request, by path. */
export type Faults = FieldError[]

/** A kind of system under test. Each has its own file and is listed in kinds.ts. */
export interface Kind<Mapping extends object = object, Rendered = unknown> {
  limits: Limits
  /** Names of the built-in mappings. */
  presets: Record<string, Mapping>
  /** Secrets that each user has at such a target, whatever its mapping names. */
  secrets?: ('password_hash' | 'password')[]
  /** Members besides the id that `render` reads, with this mapping. Not given: it may read all. */
  members?: (mapping: object) => UserMember[]
  mappingSchema: TSchema
  /** Returns faults of a mapping that its schema does not see. */
  mappingFaults(mapping: Static<TSchema>): Faults
  /** Splits a URL into what can be shown and the secret within. Returns faults instead if it is not usable. */
  readUrl(url: string): { url: string; key: string | undefined; hosts: string[] } | Faults
  /** Whether the key is sent in an HTTP header, which takes ASCII only. */
  hasHeaderKey?: true
  /** What the user becomes. Without `withSecrets`, secrets are replaced by a placeholder. */
  render(mapping: Mapping, user: SinkUser, withSecrets: boolean): { rendered: Rendered } | { refusal: Refusal }
  /** The rendered user as a dry run shows it. */
  show(rendered: Rendered, mapping: Mapping): object
  connect(address: SinkAddress): Sink<Rendered>
}
