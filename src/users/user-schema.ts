import { Type } from 'typebox'
import { EMAIL_EXPECTED, EMAIL_FORM } from '../config/reserved-domain.ts'
import { Nullable, named, strictNamed, Uuid } from '../http/schemas.ts'
import { poolParam } from '../pools/pool-parameter.ts'

/**
 * Members with any name. The default pattern for a record of strings, `^.*$`, does not match line breaks: members with
 * a line break in their name were missing from responses and exported templates.
 */
export const CustomAttributes = Type.Record(Type.String({ pattern: '^[\\s\\S]*$' }), Type.Unknown())

/**
 * Form of usernames and roles; their length is checked separately. Nobody sees a blank at an end, and login forms trim
 * it.
 */
export const NAME_FORM = /^(?:\S(?:[\s\S]*\S)?)?$/u

export const NAME_EXPECTED = 'with no blank at the beginning or end'

/** The same form as a schema. */
export const nameOf = (maxLength: number) =>
  Type.String({
    minLength: 1,
    maxLength,
    pattern: NAME_FORM.source,
    description: `1 to ${maxLength} characters, ${NAME_EXPECTED}`,
  })

const time = Type.String({ format: 'date-time', description: 'RFC 3339, UTC, six digits of a second' })

/** A user in every response. */
export const User = named('User', {
  id: Uuid,
  username: Type.String(),
  email: Type.String(),
  role: Type.String(),
  is_test_user: Type.Boolean(),
  batch_id: Nullable(Uuid),
  created_by_bulk: Type.Boolean(),
  custom_attributes: CustomAttributes,
  created_at: time,
  updated_at: time,
})

/** What PATCH accepts. */
export const UserChangeBody = strictNamed('UserChange', {
  ...poolParam,
  username: Type.Optional(nameOf(254)),
  email: Type.Optional(Type.String({ maxLength: 254, pattern: EMAIL_FORM.source, description: EMAIL_EXPECTED })),
  role: Type.Optional(nameOf(64)),
  custom_attributes: Type.Optional(CustomAttributes),
})
