import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Credential } from '../../src/protocol/user-line.ts'
import { type PullSource, writeLabel } from '../../src/pull/base-label.ts'
import { outFiles } from '../../src/pull/files.ts'
import { lostLogins } from '../../src/pull/run-pull.ts'
import { suite } from '../suite.ts'

const t = suite()

const source = (...credentials: Credential[]): PullSource => {
  const filter = { batchId: undefined, testUsersOnly: true, bulkUsersOnly: false }
  return { url: 'http://localhost', pool: 'default', filter, shard: undefined, credentials, format: 'json' }
}

const USER =
  '{"id":"1","username":"a","email":"a@example.com","role":"user","is_test_user":true,"batch_id":null,"created_by_bulk":true,"custom_attributes":{"password":"x"},"created_at":"","updated_at":""'

t.test('a pull that removes logins from its files warns, and says how to keep them', async (t) => {
  const files = outFiles(join(t.testdir(), 'users'))
  t.equal(await lostLogins(files, source()), undefined)

  const outs = [
    'id,username,updated_at,totp_secret\n1,password,x,y\n',
    `{"kind":"full"}\n${USER},"totp_secret":null}\n`,
    '{"users":[]}', // as JSON, only the base names them
  ]
  for (const out of outs) {
    await writeFile(files.out, out)
    await writeFile(files.base, writeLabel(source(...(out === outs[2] ? (['totp_secret'] as const) : [])), undefined))
    const warning = `warning: ${files.out} has totp_secret, and this pull removes them; to keep them, add --include`
    t.equal(await lostLogins(files, source()), `${warning} totp_secret`)
    t.equal(await lostLogins(files, source('password')), `${warning} password,totp_secret`)
    t.equal(await lostLogins(files, source('password', 'totp_secret')), undefined)
  }

  await writeFile(files.base, 'no label')
  for (const out of ['id,username\n1,password\n', `{"kind":"full"}\n${USER}}\n`, '', '{"users":[]}']) {
    await writeFile(files.out, out)
    t.equal(await lostLogins(files, source()), undefined, out)
  }
})
