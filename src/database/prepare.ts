import type { Config } from '../config.ts'
import { startEmbeddedDatabase } from './embedded.ts'
import { makeDataDir } from './embedded-place.ts'
import { migrate, requireMigrated } from './migrate.ts'
import { requireOwnSessions } from './own-sessions.ts'

/** A database that is there and has the schema of this program. */
export interface PreparedDatabase extends AsyncDisposable {
  url: string
  /** The folder of the embedded PostgreSQL; undefined where it is another one. */
  embeddedIn: string | undefined
}

/**
 * Gives the configured database, or starts the embedded one, with its schema made or brought up to date as SCHEMA_MODE says;
 * to be disposed of, which leaves the embedded one. Throws the database's error, or one that says what to do.
 */
export async function prepareDatabase(config: Config): Promise<PreparedDatabase> {
  const { databaseUrl, dataDir, schema, schemaMode } = config
  const embedded = databaseUrl === '' ? await startEmbeddedDatabase({ dataDir }) : undefined
  if (!embedded) await makeDataDir(dataDir)
  const url = embedded?.url ?? databaseUrl
  const leave = async () => embedded?.stop()
  try {
    await requireOwnSessions(url, schema)
    if (schemaMode === 'always' || (schemaMode === 'embedded' && embedded)) await migrate(url, schema)
    else await requireMigrated(url, schema)
  } catch (error) {
    await leave()
    throw error
  }
  return { url, embeddedIn: embedded?.directory, [Symbol.asyncDispose]: leave }
}
