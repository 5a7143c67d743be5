import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { SCOPES, scopesIn } from '../config/api-keys.ts'
import { Nullable, strict } from '../http/schemas.ts'
import { unauthorized } from './authentication.ts'
import type { Keyring } from './keyring.ts'

const Scopes = Type.Array(Type.Enum([...SCOPES]))

/** Shows a client what its key allows, so that it need not find out by trying. */
export const keyRoutes: FastifyPluginCallbackTypebox<{ keyring: Keyring | undefined }> = (app, { keyring }, done) => {
  app.get(
    '/v1/me',
    {
      schema: {
        tags: ['operations'],
        summary: 'Read what the key of the request allows',
        description: 'Needs a valid key, of any scope. Without configured keys every request has every scope.',
        querystring: strict({}),
        response: {
          200: Type.Object({
            name: Nullable(Type.String({ description: 'The name of the key; null: no key is configured' })),
            scopes: Type.Array(Type.Enum([...SCOPES]), { description: 'In every pool that `pools` does not list' }),
            pools: Type.Array(Type.Object({ name: Type.String(), scopes: Scopes }), {
              description: 'The pools that scopes of the key are bound to, with all its scopes there',
            }),
          }),
        },
      },
    },
    (request, reply) => {
      const { apiKey } = request
      reply.header('cache-control', 'no-store')
      if (keyring === undefined) return { name: null, scopes: [...SCOPES], pools: [] }
      if (apiKey === undefined) throw unauthorized(request)
      const pools = [...apiKey.poolScopes.keys()].map((name) => ({ name, scopes: [...scopesIn(apiKey, name)] }))
      return { name: apiKey.name, scopes: [...apiKey.scopes], pools }
    },
  )

  done()
}
