import { type TObjectOptions, type TProperties, type TSchema, Type } from 'typebox'

/** An object of a request: unknown members are rejected. */
export const strict = <Members extends TProperties>(members: Members, options?: TObjectOptions) =>
  Type.Object(members, { ...options, additionalProperties: false })

/** A member that is always present, and null if it has no value. */
export const Nullable = <Schema extends TSchema>(schema: Schema) => Type.Union([schema, Type.Null()])

/** The format of an id. PostgreSQL and JSON Schema's own `uuid` accept more formats than the service returns. */
export const UUID_FORM = /^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/

/** An id in a request. */
export const Uuid = Type.String({ pattern: UUID_FORM.source })
