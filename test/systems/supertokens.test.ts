import { supertokens } from '../../src/systems/supertokens.ts'
import { suite } from '../suite.ts'
import { checkFormat, readLine, sameJson } from './check-format.ts'
import { members, verifyBcrypt, verifyPhcArgon2id } from './strict.ts'

const t = suite()

t.test('users have one login, and passwords that SuperTokens verifies', (t) =>
  checkFormat(t, {
    system: 'SuperTokens',
    format: supertokens,
    read: (text, user) => {
      const { externalUserId, userMetadata, loginMethods } = members(
        readLine(text),
        ...['externalUserId', 'userMetadata', 'loginMethods'],
      )
      sameJson([externalUserId, userMetadata], [user.id, { ...user.custom_attributes, role: user.role }])
      const [login, ...others] = loginMethods as unknown[]
      sameJson(others, [])
      const { passwordHash, hashingAlgorithm, ...rest } = members(
        login,
        ...['recipeId', 'email', 'passwordHash', 'hashingAlgorithm', 'isVerified', 'timeJoinedInMSSinceEpoch'],
      )
      sameJson([rest['recipeId'], rest['email'], rest['isVerified']], ['emailpassword', user.email, true])
      if (hashingAlgorithm === 'argon2') return verifyPhcArgon2id(passwordHash)
      sameJson(hashingAlgorithm, 'bcrypt')
      return verifyBcrypt(passwordHash as string)
    },
  }),
)
