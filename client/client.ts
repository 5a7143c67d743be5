import { Batches } from './batches.ts'
import { type ClientOptions, Connection, otherVersion } from './connection.ts'
import { Leases } from './leases.ts'
import type { OperationId, OptionsOf, ResponseOf } from './operation-types.ts'
import { VERSION } from './operations.ts'
import { createRequest } from './request.ts'
import { Users } from './users.ts'

/** A client of one service. Every method throws UsersyncError, or the reason of its signal. */
export interface Client {
  /**
   * Calls any operation of the service by its id, and returns the body of a successful response: JSON as values, other media types as
   * text. Types say what the operation takes and returns.
   */
  request<Id extends OperationId>(id: Id, ...options: OptionsOf<Id>): Promise<ResponseOf<Id>>
  /** Creation in bulk. */
  readonly batches: Batches
  /** Single users, imports, exports, and `follow`. */
  readonly users: Users
  /** Users for one holder at a time. */
  readonly leases: Leases
  /** Throws UsersyncError `version_mismatch` if the service has another version than the client, `not_usersync` if it is none. */
  checkVersion(signal?: AbortSignal): Promise<void>
}

/** Returns a client of the service at `url`. Sends nothing. Throws a TypeError if `url` is no address of a service. */
export function createClient(options: ClientOptions): Client {
  const connection = new Connection(options)
  const request = createRequest(connection)
  return {
    request,
    batches: new Batches(connection, request),
    users: new Users(connection, request),
    leases: new Leases(connection, request),
    async checkVersion(signal) {
      const found = await connection.version(signal)
      if (found !== VERSION) throw otherVersion(found)
    },
  }
}
