import { auth0 } from './auth0.ts'
import { fusionauth } from './fusionauth.ts'
import { keycloak } from './keycloak.ts'
import type { Kind } from './kind.ts'
import { kratos } from './kratos.ts'
import { ldap } from './ldap.ts'
import { postgres } from './postgres.ts'
import { scim } from './scim.ts'

/** The kinds of systems under test, by the name that a target gives. A further kind is a line here. */
const KINDS = { postgres, ldap, scim, keycloak, kratos, fusionauth, auth0 } as const

export type SinkKind = keyof typeof KINDS

export const SINK_KINDS = Object.keys(KINDS) as SinkKind[]

/** Returns a kind. Its mapping and rendered users are its own business. */
export const kindOf = (name: SinkKind): Kind => KINDS[name] as unknown as Kind

export const isSink = (kind: string): kind is SinkKind => Object.hasOwn(KINDS, kind)
