// The npm package's `usersync/client`: for Node 20 and later and for browsers, without dependencies. docs/client.md shows its use.

export type { Batch, Batches, NewBatch } from './batches.ts'
export { type Client, createClient } from './client.ts'
export type { ClientOptions } from './connection.ts'
export type { components, operations, paths } from './description.ts'
export { type ClientCode, type Fault, type ProblemCode, UsersyncError } from './errors.ts'
export type { CallOptions, OperationId, RequestOptions, ResponseOf } from './operation-types.ts'
export { OPERATIONS, VERSION } from './operations.ts'
