import { type TSchema, Type } from 'typebox'

/** A member that is always there, and null where there is nothing to tell. */
export const orNull = <Schema extends TSchema>(schema: Schema) => Type.Union([schema, Type.Null()])
