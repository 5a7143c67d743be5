import { Type } from 'typebox'

/** An id as clients write it. PostgreSQL and JSON Schema's own `uuid` take more forms than we give out. */
export const Uuid = Type.String({ pattern: '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' })
