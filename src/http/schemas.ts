import { type TObjectOptions, type TProperties, type TSchema, Type } from 'typebox'
import { UUID_FORM } from '../protocol/user-line.ts'

/** An object of a request: unknown members are rejected. */
export const strict = <Members extends TProperties>(members: Members, options?: TObjectOptions) =>
  Type.Object(members, { ...options, additionalProperties: false })

/** An object with a name: it is a component of the API description, so that clients have a type for it. */
export const named = <Members extends TProperties>(title: string, members: Members, options?: TObjectOptions) =>
  Type.Object(members, { title, ...options })

/** An object of a request, with a name. */
export const strictNamed = <Members extends TProperties>(title: string, members: Members, options?: TObjectOptions) =>
  strict(members, { title, ...options })

/** A member that is always present, and null if it has no value. */
export const Nullable = <Schema extends TSchema>(schema: Schema) => Type.Union([schema, Type.Null()])

/** An id in a request. */
export const Uuid = Type.String({ pattern: UUID_FORM.source, description: 'a UUID' })

/** The request header with which a repetition returns what the first request created. */
export const idempotencyKey = {
  'idempotency-key': Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 255,
      description: 'The same key and body return the same result; another body is rejected',
    }),
  ),
}
