import { Type } from 'typebox'
import { Uuid } from '../http/uuid.ts'
import { poolMember } from '../pools/pool-parameter.ts'
import { CustomAttributes } from './custom-attributes.ts'
import { nameOf } from './name-form.ts'
import { EMAIL_EXPECTED, EMAIL_FORM } from './reserved-domain.ts'

const time = Type.String({ format: 'date-time', description: 'RFC 3339, UTC, six digits of a second' })

/** A user as it is answered everywhere. */
export const User = Type.Object({
  id: Uuid,
  username: Type.String(),
  email: Type.String(),
  role: Type.String(),
  is_test_user: Type.Boolean(),
  batch_id: Type.Union([Uuid, Type.Null()]),
  created_by_bulk: Type.Boolean(),
  custom_attributes: CustomAttributes,
  created_at: time,
  updated_at: time,
})

/** What PATCH takes. */
export const UserChangeBody = Type.Object(
  {
    ...poolMember,
    username: Type.Optional(nameOf(254)),
    email: Type.Optional(Type.String({ maxLength: 254, pattern: EMAIL_FORM.source, description: EMAIL_EXPECTED })),
    role: Type.Optional(nameOf(64)),
    custom_attributes: Type.Optional(CustomAttributes),
  },
  { additionalProperties: false },
)
