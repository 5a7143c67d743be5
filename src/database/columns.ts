import { bigint, customType, timestamp } from 'drizzle-orm/pg-core'

/** Compared byte by byte, so that order and uniqueness do not depend on the server's locale. */
export const bytewiseText = customType<{ data: string }>({ dataType: () => 'text collate "C"' })
export const bytes = customType<{ data: Buffer }>({ dataType: () => 'bytea' })
export const time = (name: string) => timestamp(name, { withTimezone: true, mode: 'string' })
export const bigNumber = (name: string) => bigint(name, { mode: 'number' })
