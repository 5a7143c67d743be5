import type { Kind } from './kind.ts'
import { ldap } from './ldap.ts'
import { postgres } from './postgres.ts'
import { scim } from './scim.ts'

/** The kinds of systems under test, by the name that a target gives. A further kind is a line here. */
const KINDS = { postgres, ldap, scim } as const

export type SinkKind = keyof typeof KINDS

export const SINK_KINDS = Object.keys(KINDS) as SinkKind[]

/** Returns a kind. Its mapping and rendered users are its own business. */
export const kindOf = (name: SinkKind): Kind => KINDS[name] as unknown as Kind

export const isSink = (kind: string): kind is SinkKind => kind in KINDS
