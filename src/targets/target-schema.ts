import { Type } from 'typebox'
import { orNull } from '../http/or-null.ts'
import { Uuid } from '../http/uuid.ts'
import { PoolName } from '../pools/pool-parameter.ts'

export const TargetName = PoolName

const TargetFilter = Type.Object(
  {
    batch_id: Type.Optional(orNull(Uuid)),
    test_users_only: Type.Optional(Type.Boolean({ default: true })),
    bulk_users_only: Type.Optional(Type.Boolean({ default: false })),
  },
  { additionalProperties: false, description: 'Which users the receiver is to hold' },
)

/** What a request says of a target. */
export const targetMembers = {
  url: Type.String({
    maxLength: 2_000,
    description: 'Where the receiver listens, such as `http://tester:3000`, without `/v1`',
  }),
  key: Type.Optional(orNull(Type.String({ minLength: 1, maxLength: 1_000, pattern: '^[\\x21-\\x7e]+$' }))),
  filter: Type.Optional(TargetFilter),
  remote_pool: Type.Optional(PoolName),
  interval_seconds: Type.Optional(
    orNull(Type.Integer({ minimum: 1, maximum: 86_400, description: 'null: pushed by request alone' })),
  ),
}

/** A target as it is answered: the key itself is never told. */
export const TargetAnswer = Type.Object({
  name: Type.String(),
  url: Type.String(),
  has_key: Type.Boolean(),
  filter: Type.Object({
    batch_id: orNull(Type.String()),
    test_users_only: Type.Boolean(),
    bulk_users_only: Type.Boolean(),
  }),
  remote_pool: Type.String(),
  interval_seconds: orNull(Type.Integer()),
  created_at: Type.String(),
  updated_at: Type.String(),
})
