/** The embedded database could not be made, started or stopped; the message says why and what to do. */
export class EmbeddedDatabaseError extends Error {
  override name = 'EmbeddedDatabaseError'

  constructor(message: string, options?: ErrorOptions) {
    super(`${message}\nTo use another PostgreSQL server, set DATABASE_URL.`, options)
  }
}
