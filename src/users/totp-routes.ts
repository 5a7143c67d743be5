import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { Sql } from 'postgres'
import { Type } from 'typebox'
import { Problem } from '../errors.ts'
import { named, Uuid } from '../http/schemas.ts'
import { base32, deriveTotpSecret, openTotpKey, totpCode, totpUri } from '../passwords/totp.ts'
import { PoolQuery, poolIdOf } from '../pools/pool-parameter.ts'
import { userNotFound } from './users.ts'

const Totp = named('Totp', {
  secret: Type.String({ description: 'Base32, without padding' }),
  uri: Type.String({ description: 'The `otpauth://` address that authenticator apps read' }),
  code: Type.String({ description: 'The present code: 6 digits, SHA-1, 30 s (RFC 6238)' }),
  expires_in: Type.Integer({ description: 'Seconds until the code changes, 1 to 30' }),
})

/** The second factor of a user, for scripts that log in. */
export const totpRoutes: FastifyPluginCallbackTypebox<{ sql: Sql; encryptionKey: Buffer }> = (
  app,
  { sql, encryptionKey },
  done,
) => {
  app.get(
    '/v1/users/:id/totp',
    {
      config: { scope: 'credentials:read' },
      schema: {
        operationId: 'getUserTotp',
        tags: ['users'],
        summary: 'Read the TOTP secret of a user and its present code',
        params: Type.Object({ id: Uuid }),
        querystring: PoolQuery,
        response: { 200: Totp },
        problems: ['user_not_found', 'totp_not_found'],
      },
    },
    async (request, reply) => {
      const poolId = await poolIdOf(sql, request)
      const { id, username, batch_id, totp_ciphertext } = await readFactor(sql, poolId, request.params.id, {
        testUsersOnly: !request.scopes.has('admin'),
      })
      if (batch_id === null || totp_ciphertext === null) {
        throw new Problem('totp_not_found', 'Only users of a batch created with totp: true have a TOTP secret.')
      }
      const secret = deriveTotpSecret(openTotpKey(encryptionKey, totp_ciphertext, batch_id), id)
      const { code, expiresIn } = totpCode(secret, Date.now())
      reply.header('cache-control', 'no-store')
      return { secret: base32(secret), uri: totpUri(secret, username), code, expires_in: expiresIn }
    },
  )

  done()
}

interface Factor {
  id: string
  username: string
  /** The batch of the user's credential, which stays when the user moves to another batch; null without one. */
  batch_id: string | null
  totp_ciphertext: Buffer | null
}

/** Throws `user_not_found`. `lateral … offset 0` forces look-ups by key, whatever the statistics say. */
async function readFactor(
  sql: Sql,
  poolId: number,
  id: string,
  { testUsersOnly }: { testUsersOnly: boolean },
): Promise<Factor> {
  const [row] = await sql<Factor[]>`
    select u.id, u.username, b.id as batch_id, b.totp_ciphertext from users u
    left join lateral (
      select * from credentials c where c.pool_id = u.pool_id and c.id = u.credential_id offset 0
    ) c on true
    left join lateral (select * from batches b where b.pool_id = c.pool_id and b.id = c.batch_id offset 0) b on true
    where u.pool_id = ${poolId} and u.id = ${id} ${testUsersOnly ? sql`and u.is_test_user` : sql``}`
  if (!row) throw userNotFound()
  return row
}
