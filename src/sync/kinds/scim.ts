import { readApiUrl } from './json-api.ts'
import type { Kind } from './kind.ts'
import { connectScim } from './scim/connect-scim.ts'
import {
  attributeFaults,
  PRESETS,
  renderUser,
  type ScimMapping,
  ScimMappingSchema,
  type ScimUser,
} from './scim/mapping.ts'

/** Users of a SCIM 2.0 API (RFC 7643, RFC 7644). */
export const scim: Kind<ScimMapping, ScimUser> = {
  limits: { batch: 100, concurrency: 4, per_second: null },
  presets: PRESETS,
  mappingSchema: ScimMappingSchema,
  mappingFaults: (mapping) => attributeFaults(mapping as ScimMapping),
  readUrl: readApiUrl,
  hasHeaderKey: true,
  render: renderUser,
  show: (resource) => ({ resource }),
  connect: connectScim,
}
