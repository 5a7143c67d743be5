import { hashPassword } from '../../src/passwords/hash-password.ts'
import { keycloak } from '../../src/systems/keycloak.ts'
import { suite } from '../suite.ts'
import { checkFormat, readLine, sameJson, userWith } from './check-format.ts'
import { members, paddedBase64, verifyArgon2id, verifyPbkdf2 } from './strict.ts'

const t = suite()

/** A list of exactly one text (MultivaluedHashMap). */
function one(value: unknown): string {
  if (!Array.isArray(value) || value.length !== 1 || typeof value[0] !== 'string')
    throw new Error('no list of one text')
  return value[0]
}

t.test('users have the members of UserRepresentation, and passwords that Keycloak verifies', (t) =>
  checkFormat(t, {
    system: 'Keycloak',
    format: keycloak,
    read: (text, user) => {
      const { username, email, attributes, credentials, ...rest } = members(
        readLine(text),
        ...['username', 'email', 'emailVerified', 'enabled', 'firstName', 'lastName'],
        ...['attributes', 'requiredActions', 'credentials'],
      )
      sameJson([username, email, rest['enabled'], rest['requiredActions']], [user.username, user.email, true, []])
      if (!rest['firstName'] || !rest['lastName']) throw new Error('the profile is incomplete')
      for (const texts of Object.values(attributes as object)) {
        if (!Array.isArray(texts) || texts.some((text) => typeof text !== 'string')) throw new Error('no list of texts')
      }
      sameJson((attributes as Record<string, unknown>)['usersync_id'], [user.id])
      const [credential, ...others] = credentials as unknown[]
      if (others.length > 0) throw new Error('more than one credential')
      const { type, secretData, credentialData } = members(credential, 'type', 'secretData', 'credentialData')
      if (type !== 'password') throw new Error('no password')
      const secret = members(JSON.parse(secretData as string), 'value', 'salt', 'additionalParameters')
      const stored = { salt: paddedBase64(secret.salt), hash: paddedBase64(secret.value) }
      const data = members(JSON.parse(credentialData as string), 'hashIterations', 'algorithm', 'additionalParameters')
      const iterations = data.hashIterations as number
      if (data.algorithm === 'pbkdf2-sha256') {
        members(data.additionalParameters)
        return verifyPbkdf2(stored, iterations)
      }
      const names = ['hashLength', 'memory', 'type', 'version', 'parallelism'] as const
      const parameters = members(data.additionalParameters, ...names)
      sameJson([data.algorithm, one(parameters.type), one(parameters.version)], ['argon2', 'id', '1.3'])
      if (Number(one(parameters.hashLength)) !== stored.hash.length) throw new Error('hashLength')
      return verifyArgon2id(stored, iterations, Number(one(parameters.memory)), Number(one(parameters.parallelism)))
    },
  }),
)

const password_hash = hashPassword({ algorithm: 'pbkdf2_sha256', iterations: 1, salt_bytes: 8 }, 'x')

t.test('attributes are texts that keep their values, and cannot replace the user’s own members', (t) => {
  const custom_attributes = { plan: 'gold', age: 30, tags: ['a', 1, null], none: null, deep: { a: [1] }, email: 'x@x' }
  t.match(keycloak.render(userWith({ custom_attributes, password_hash })), {
    rendered: {
      attributes: { plan: ['gold'], age: ['30'], tags: ['a', '1'], none: [], deep: ['{"a":[1]}'], email: undefined },
    },
  })
  t.end()
})

t.test('a username of more than 255 characters is refused', (t) => {
  const render = (username: string) => keycloak.render(userWith({ username, password_hash }))
  t.match(render('😀'.repeat(255)), { rendered: { username: '😀'.repeat(255) } })
  t.match(render('é'.repeat(256)), { refusal: { code: 'value_invalid', detail: /username has more than 255/ } })
  t.end()
})
