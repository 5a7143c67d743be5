// Opens psql on the database of the service, in its schema: `npm run psql`, or `npm run psql -- -c 'select count(*) from users'`.

import { ConfigError, readConfig } from './config/config.ts'
import { PsqlError, runPsql } from './database/psql.ts'

try {
  process.exitCode = await runPsql(readConfig(process.env), process.argv.slice(2))
} catch (error) {
  if (!(error instanceof PsqlError || error instanceof ConfigError)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 2
}
