import { randomBytes } from 'node:crypto'
import { pino } from 'pino'
import { readConfig } from '../../src/config/config.ts'
import { connect } from '../../src/database/connection.ts'
import { checkEncryptionKey } from '../../src/secrets/encryption-key-check.ts'
import { startService } from '../../src/service.ts'
import { testDatabase } from '../database.ts'
import { suite } from '../suite.ts'

const t = suite()

t.test('the first key is stored, even if several start at once, and other keys are rejected', async (t) => {
  const sql = connect({ url: await testDatabase(t), schema: 'usersync', connections: 4, name: 'test' })
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
  const DATABASE_URL = await testDatabase(t)
  const start = (key: string) =>
    startService(readConfig({ DATABASE_URL, ENCRYPTION_KEY: key.repeat(32) }), DATABASE_URL, pino({ level: 'silent' }))
  await (await start('a1')).stop()
  await t.rejects(start('b2'), { message: /encrypted with another key/ })
})
