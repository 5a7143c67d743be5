import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readKey } from '../../src/client/service-options.ts'
import { suite } from '../suite.ts'

const t = suite()

const KEY = 'k'.repeat(32)

t.test('spaces and line breaks around a key are ignored, in the variable and in the file', async (t) => {
  const file = join(t.testdir(), 'key')
  for (const text of [KEY, `${KEY}\n`, ` ${KEY}\r\n`]) {
    t.equal(await readKey(undefined, { USERSYNC_KEY: text }), KEY)
    await writeFile(file, text)
    t.equal(await readKey(file, {}), KEY)
  }
  for (const text of [`${KEY} ${KEY}`, 'schlüssel']) {
    await t.rejects(readKey(undefined, { USERSYNC_KEY: text }), /USERSYNC_KEY has no valid key/)
  }
  for (const text of ['', ' \n']) {
    t.equal(await readKey(undefined, { USERSYNC_KEY: text }), undefined, 'an empty variable means no key')
  }
})
