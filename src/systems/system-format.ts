import type { Preset } from '../passwords/presets.ts'
import { type PasswordHash, parseHash } from './password-hash.ts'

/** A user as the formats render it: the members of its line, and its password hash. */
export interface SystemUser {
  id: string
  username: string
  email: string
  role: string
  custom_attributes: Record<string, unknown>
  /** RFC 3339. */
  created_at: string
  updated_at: string
  /** Null or absent if the user has none. */
  password_hash?: string | null
}

/** Why a system cannot take a user. Both texts go to clients: they contain no secret. */
export interface Refusal {
  code: 'credential_missing' | 'hash_unsupported' | 'value_invalid'
  detail: string
}

/** What a user becomes in a system, or why it becomes nothing. */
export type Rendering<Rendered> = { rendered: Rendered } | { refusal: Refusal }

/** How users become what the import of a system takes. Each system has its own file and is listed in system-formats.ts. */
export interface SystemFormat<Rendered = unknown> {
  mediaType: string
  /** Whether the users have password hashes there. */
  hasPasswords: boolean
  /** The most that the system takes in one request, job or file. */
  part: { users: number; bytes: number }
  render(user: SystemUser): Rendering<Rendered>
  /** The text of one user. */
  write(rendered: Rendered): string
  /** The text before the first user; undefined if there is none. Users whose heads differ cannot be in one part. */
  head(first: Rendered | undefined): string
  separator: string
  tail: string
}

/** The parts of a format that writes users as JSON between two texts. */
export const jsonBetween = (head: string, tail: string) => ({
  mediaType: 'application/json',
  write: (rendered: unknown) => JSON.stringify(rendered),
  head: () => head,
  separator: ',\n',
  tail,
})

/** The parts of a format that writes a JSON object a line. */
export const jsonLines = {
  mediaType: 'application/x-ndjson',
  write: (rendered: unknown) => `${JSON.stringify(rendered)}\n`,
  head: () => '',
  separator: '',
  tail: '',
}

/** For a system without a limit of its own: a part begins within seconds, and a broken download costs one part. */
export const NO_LIMIT = { users: 100_000, bytes: Number.POSITIVE_INFINITY }

/** For a request whose system names no limit in bytes: some servers accept only 10 MB (Quarkus, and so Keycloak, by default). */
export const BODY_BYTES = 8_000_000

/** What makes a renderer: how a system stores passwords, and its users. */
interface System<Password, Rendered> {
  /** The name in messages. */
  name: string
  /** Hash settings that the system takes. */
  preset: Preset
  /** The hashes that the system takes, as messages list them. */
  takes: string
  /** The hash in the form of the system. Undefined if the system does not take it. */
  password(hash: PasswordHash): Password | undefined
  /** What is wrong with the user's other values, if anything: `username has more than 150 characters`. */
  fault?(user: SystemUser): string | undefined
  object(user: SystemUser, password: Password): Rendered
}

/** Returns the renderer of a system that stores passwords. It refuses users without a hash: they could not log in. */
export const renderer =
  <Password, Rendered>(system: System<Password, Rendered>) =>
  (user: SystemUser): Rendering<Rendered> => {
    const { name, preset, takes } = system
    if (!user.password_hash) return { refusal: MISSING }
    const hash = parseHash(user.password_hash)
    const password = hash && system.password(hash)
    if (password === undefined) {
      return { refusal: hashUnsupported({ name, preset, takes }, hash) }
    }
    const fault = system.fault?.(user)
    if (fault !== undefined)
      return { refusal: { code: 'value_invalid', detail: `${name} does not take the user: ${fault}.` } }
    return { rendered: system.object(user, password) }
  }

/** Says which hashes a system takes, and how to create users with one. */
export function hashUnsupported(
  { name, preset, takes }: { name: string; preset: Preset; takes: string },
  hash: PasswordHash | undefined,
): Refusal {
  const advice = `Create users with "password_hash": {"preset": "${preset}"} for it.`
  const detail = `${name} takes ${takes}, and the user’s hash is ${hash?.algorithm ?? 'another one'}. ${advice}`
  return { code: 'hash_unsupported', detail }
}

const MISSING: Refusal = {
  code: 'credential_missing',
  detail: 'The user has no password_hash: the users of imports and of batches with the algorithm none have none.',
}

/** Returns a fault if the value has more characters than a system takes. */
export const tooLong = (name: string, value: string, maximum: number): string | undefined =>
  [...value].length > maximum ? `${name} has more than ${maximum} characters` : undefined

/** The first and last name from the user's attributes, where it has them: `first` or `first_name`, `last` or `last_name`. */
export function namesOf({ custom_attributes }: SystemUser): { first: string | undefined; last: string | undefined } {
  const text = (...names: string[]) =>
    names
      .map((name) => (Object.hasOwn(custom_attributes, name) ? custom_attributes[name] : undefined))
      .find((value) => typeof value === 'string' && value.trim() !== '') as string | undefined
  return { first: text('first', 'first_name'), last: text('last', 'last_name') }
}
