import { type Static, Type } from 'typebox'

/** What to do with a row whose id, username or email is taken. */
export const OnConflict = Type.Enum(['fail', 'skip', 'update'])
export type OnConflict = Static<typeof OnConflict>

export const ImportFormat = Type.Enum(['json', 'ndjson', 'csv'])
export type ImportFormat = Static<typeof ImportFormat>

/** What a batch of the kind `import` was asked for. */
export const ImportConfig = Type.Object({ on_conflict: OnConflict, format: ImportFormat })
export type ImportConfig = Static<typeof ImportConfig>
