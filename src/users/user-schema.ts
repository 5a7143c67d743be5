import { Type } from 'typebox'
import { Uuid } from '../http/uuid.ts'
import { poolMember } from '../pools/pool-parameter.ts'

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
  custom_attributes: Type.Record(Type.String(), Type.Unknown()),
  created_at: time,
  updated_at: time,
})

/** What PATCH takes. */
export const UserChangeBody = Type.Object(
  {
    ...poolMember,
    username: Type.Optional(Type.String({ minLength: 1, maxLength: 254 })),
    email: Type.Optional(Type.String({ minLength: 3, maxLength: 254, pattern: '^[^\\s@]+@[^\\s@]+$' })),
    role: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
    custom_attributes: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  },
  { additionalProperties: false },
)
