import { withoutBrackets } from '../../config/url.ts'
import type { FieldError } from '../../errors.ts'
import type { Kind } from './kind.ts'
import { connectEntries } from './ldap/connect-entries.ts'
import { type EntryMapping, EntryMappingSchema, entryFaults, type RenderedEntry, renderEntry } from './ldap/mapping.ts'
import { PRESETS } from './ldap/presets.ts'

/** Users as entries of an LDAP directory. */
export const ldap: Kind<EntryMapping, RenderedEntry> = {
  limits: { batch: 100, concurrency: 2, per_second: null },
  presets: PRESETS as Record<string, EntryMapping>,
  mappingSchema: EntryMappingSchema,
  mappingFaults: (mapping) => entryFaults(mapping as EntryMapping),
  readUrl,
  render: renderEntry,
  show: ({ dn, attributes }) => ({ dn, attributes }),
  connect: connectEntries,
}

/** A host name or address, and a port. */
const URL_FORM = /^ldaps?:\/\/([a-z0-9._-]+|\[[0-9a-f:.]+\])(:\d{1,5})?\/?$/i

function readUrl(text: string): { url: string; key: undefined; hosts: string[] } | FieldError[] {
  const [, host] = URL_FORM.exec(text) ?? []
  const url = URL.parse(text)
  if (!url || host === undefined) {
    const message =
      'expects ldaps://host or ldap://host, with a port from 1 to 65535 if it is not 636 or 389. The login is mapping.bind_dn and key'
    return [{ path: 'body.url', code: 'format', message }]
  }
  return { url: `${url.protocol}//${url.host}`.toLowerCase(), key: undefined, hosts: [withoutBrackets(host)] }
}
