import type { Batch } from './batches.ts'
import type { Connection } from './connection.ts'
import type { components, operations } from './description.ts'
import { type ExportQuery, openExport, type User } from './export.ts'
import { Following, type FollowOptions } from './follow.ts'
import { type ImportItems, isReplayable, uploadOf } from './import-body.ts'
import type { CallOptions } from './operation-types.ts'
import { itemsOf } from './pages.ts'
import type { Request } from './request.ts'

type ImportOptions = CallOptions & NonNullable<operations['importUsers']['parameters']['query']>

/** An import waits for the whole upload, and then for the database. */
const IMPORT_TIMEOUT_MS = 300_000

/** The users of a pool. */
export class Users {
  readonly #connection: Connection
  readonly #request: Request

  constructor(connection: Connection, request: Request) {
    this.#connection = connection
    this.#request = request
  }

  /** Reads pages as the loop goes on. Users that are created meanwhile may appear or not; an export is a snapshot. */
  list(query: operations['listUsers']['parameters']['query'] = {}, options: CallOptions = {}) {
    return itemsOf((cursor) => this.#request('listUsers', { ...options, query: { limit: 1000, ...query, ...cursor } }))
  }

  get(id: string, options: CallOptions = {}): Promise<User> {
    return this.#request('getUser', { ...options, path: { id } })
  }

  /** `custom_attributes` is a merge patch (RFC 7396): null removes a member. */
  update(id: string, change: components['schemas']['UserChange'], options: CallOptions = {}): Promise<User> {
    return this.#request('updateUser', { ...options, path: { id }, body: change })
  }

  async delete(id: string, options: CallOptions = {}): Promise<void> {
    await this.#request('deleteUser', { ...options, path: { id } })
  }

  /** The TOTP code of a user at this moment. */
  totp(id: string, options: CallOptions = {}) {
    return this.#request('getUserTotp', { ...options, path: { id } })
  }

  /**
   * Creates the users of `items`, which are sent as they come: objects, or the bytes of an NDJSON, JSON or CSV file (`format`). Creates
   * all or none. Only an array or a text is sent again if the service is overloaded.
   */
  import(
    items: ImportItems,
    { on_conflict, format = 'ndjson', label, pool, ...options }: ImportOptions = {},
  ): Promise<Batch> {
    const upload = uploadOf(items, format)
    const { body, contentType } = upload
    const imported = this.#request('importUsers', {
      timeoutMs: IMPORT_TIMEOUT_MS,
      deadlineMs: Number.POSITIVE_INFINITY,
      ...options,
      query: defined({ on_conflict, format, label, pool }),
      body,
      contentType,
      ...(!isReplayable(items) && { attempts: 1 }),
    })
    return imported.catch((error) => {
      throw upload.sourceError ?? error
    })
  }

  /** Yields all users of one state, in the order of their ids. Throws UsersyncError `export_cut` if it ends too early. */
  async *export(
    query: Omit<ExportQuery, 'format' | 'base' | 'differential' | 'part' | 'base_dn'> = {},
    options: CallOptions = {},
  ): AsyncGenerator<User, void, void> {
    const opened = await openExport(this.#connection, { ...options, query })
    if (!opened.head) return // only with a base
    for await (const row of opened.rows) if ('user' in row) yield row.user
  }

  /** Keeps users in step with the service; see Following. */
  follow(options: FollowOptions = {}): Following {
    return new Following(this.#connection, options)
  }
}

const defined = <T extends object>(options: T) =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [Name in keyof T]?: Exclude<T[Name], undefined>
  }
