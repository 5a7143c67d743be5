import { type TSchema, Type } from 'typebox'

/** A member that is always there, and null where there is nothing to tell. */
export const orNull = <Schema extends TSchema>(schema: Schema) => Type.Union([schema, Type.Null()])

/** The form of an id as clients write it. PostgreSQL and JSON Schema's own `uuid` take more forms than we give out. */
export const UUID_FORM = /^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/

/** An id as a request gives it. */
export const Uuid = Type.String({ pattern: UUID_FORM.source })
