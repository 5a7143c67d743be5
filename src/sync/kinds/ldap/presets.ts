import type { EntryMapping } from './mapping.ts'

/**
 * Mappings for object classes. The members that they leave open, `bind_dn` and `base`, are those of a directory. `inetorgperson` is
 * RFC 2798: `cn` and `sn` are required.
 */
export const PRESETS: Record<string, Partial<EntryMapping>> = {
  inetorgperson: {
    rdn: 'uid',
    attributes: {
      objectClass: ['top', 'person', 'organizationalPerson', 'inetOrgPerson'],
      uid: '{username}',
      cn: '{username}',
      sn: '{username}',
      mail: '{email}',
      employeeNumber: '{id}',
      employeeType: '{role}',
      userPassword: { $member: 'password_hash' },
    },
  },
}
