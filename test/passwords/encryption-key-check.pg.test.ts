import { randomBytes } from 'node:crypto'
import { readdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { pino } from 'pino'
import { readConfig } from '../../src/config/config.ts'
import { connect } from '../../src/database/connection.ts'
import { checkEncryptionKey, openEncryptionKey } from '../../src/secrets/encryption.ts'
import { startService } from '../../src/service.ts'
import { testDatabase } from '../database.ts'
import { suite } from '../suite.ts'

const t = suite()

t.test('the first key is stored, even if several start at once, and other keys are rejected', async (t) => {
  const sql = connect({ url: await testDatabase(), schema: 'usersync', connections: 4, name: 'test' })
  const keys = [randomBytes(32), randomBytes(32), randomBytes(32)] as const
  const starters = await Promise.allSettled(keys.map((key) => checkEncryptionKey(sql, key)))
  t.equal(starters.filter(({ status }) => status === 'fulfilled').length, 1)
  for (const [i, key] of keys.entries()) {
    const again = checkEncryptionKey(sql, key)
    if (starters[i]?.status === 'fulfilled') await again
    else await t.rejects(again, { message: /encrypted with another key/ })
  }
  await sql.end()
})

t.test('a replica with a different key does not start', async (t) => {
  const DATABASE_URL = await testDatabase()
  const start = (key: string) =>
    startService(readConfig({ DATABASE_URL, ENCRYPTION_KEY: key.repeat(32) }), DATABASE_URL, pino({ level: 'silent' }))
  await (await start('a1')).stop()
  await t.rejects(start('b2'), { message: /encrypted with another key/ })
})

t.test('a lost key file is not replaced by a new key, which would hide the loss', async (t) => {
  const DATABASE_URL = await testDatabase()
  const sql = connect({ url: DATABASE_URL, schema: 'usersync', connections: 1, name: 'test' })
  const dataDir = t.testdir({})
  const config = { encryptionKey: '', dataDir }
  await openEncryptionKey(sql, config)
  await unlink(join(dataDir, 'encryption.key'))
  await t.rejects(openEncryptionKey(sql, config), { message: /encrypted with another key/ })
  t.strictSame(await readdir(dataDir), [])
  await sql.end()
})
