import type { Call, Connection } from './connection.ts'
import type { OperationId, OptionsOf, ResponseOf } from './operation-types.ts'
import { OPERATIONS } from './operations.ts'

/** The method `request` of a client. */
export type Request = <Id extends OperationId>(id: Id, ...options: OptionsOf<Id>) => Promise<ResponseOf<Id>>

/** Operations that take an Idempotency-Key get one, so that a request whose response was lost can be repeated. */
export const createRequest =
  (connection: Connection): Request =>
  async <Id extends OperationId>(id: Id, ...[options]: OptionsOf<Id>) => {
    const call = (options ?? {}) as Call
    const headers =
      'idempotencyKey' in OPERATIONS[id] ? { 'idempotency-key': randomKey(), ...call.headers } : call.headers
    return (await connection.read(id, { ...call, headers })) as ResponseOf<Id>
  }

/** crypto.randomUUID exists only in secure contexts, so not on a page of http://usersync:3000. */
function randomKey(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}
