import { auth0 } from './auth0.ts'
import { betterAuth } from './better-auth.ts'
import { cognito } from './cognito.ts'
import { django } from './django.ts'
import { firebase } from './firebase.ts'
import { fusionauth } from './fusionauth.ts'
import { keycloak } from './keycloak.ts'
import { kratos } from './kratos.ts'
import { DEFAULT_BASE_DN, ldif } from './ldif.ts'
import { okta } from './okta.ts'
import { supertokens } from './supertokens.ts'
import type { SystemFormat } from './system-format.ts'

/** The formats by name. A further one is a line here. */
const FORMATS = {
  auth0,
  'better-auth': betterAuth,
  cognito,
  django,
  firebase,
  fusionauth,
  keycloak,
  kratos,
  ldif: ldif(DEFAULT_BASE_DN),
  okta,
  supertokens,
}

export type SystemFormatName = keyof typeof FORMATS

export const SYSTEM_FORMAT_NAMES = Object.keys(FORMATS) as SystemFormatName[]

/** Returns a format. `baseDn` is the entry above the users of LDIF. */
export const systemFormatOf = (name: SystemFormatName, baseDn?: string): SystemFormat =>
  (name === 'ldif' && baseDn !== undefined ? ldif(baseDn) : FORMATS[name]) as SystemFormat
