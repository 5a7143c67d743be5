import { createChecked, refuseUnmarked } from '../api-requests.ts'
import { byRequest, type Reply, type Requests } from '../by-request.ts'
import { type CallApi, jsonApi } from '../json-api.ts'
import type { Delivery, Removal, Sink, SinkAddress } from '../kind.ts'
import { operateInBulk } from './bulk.ts'
import { createLookUp, type LookUp, userPath } from './look-up.ts'
import type { ScimUser } from './mapping.ts'
import { type Operate, type Operation, operateSingly } from './operations.ts'
import { changeReply, creationReply, removalReply } from './replies.ts'
import { readServiceProvider } from './service-provider.ts'

/*
 * Users at a SCIM 2.0 server (RFC 7644). The externalId of a user is our id: a user is ours if and only if it carries that.
 *
 * A change is a PUT of the whole user. Each server has PUT, while PATCH is optional, and both may be repeated. But only after a PUT
 * is the user exactly what the mapping says, also without an attribute that has no value any more.
 */

/** Opens a connection to a SCIM server. */
export function connectScim({ url, key, signal }: SinkAddress): Sink<ScimUser> {
  const headers: Record<string, string> = key === undefined ? {} : { authorization: `Bearer ${key}` }
  const call = jsonApi({ url, headers, mediaType: 'application/scim+json', mayBeEmpty: true, signal })
  return byRequest(scimRequests(call, createLookUp(call, signal)), signal)
}

function scimRequests(call: CallApi, lookUp: LookUp): Requests<ScimUser> {
  const singly = operateSingly(call)
  let operate: Operate = singly
  /** Whether the server has returned the externalId of a user that was created. */
  let keepsMark = false

  return {
    async probe() {
      const { bulk } = await readServiceProvider(call)
      operate = bulk ? operateInBulk(call, bulk, singly) : singly
      await lookUp.probe()
    },
    find: (users) => lookUp.find(users.map(({ userId }) => userId)),
    create(users) {
      return createChecked(
        users,
        () => keepsMark,
        createFirst,
        (rest) => createAll(rest, operate),
      )
    },
    async change(users) {
      return await onOurs(users, async (held) => {
        const operations = held.map(({ userId, external, rendered }): Operation => {
          return { userId, method: 'PUT', path: userPath(external), data: { ...rendered, id: external } }
        })
        return await repliesTo(operations, operate, (operation, result, n) =>
          changeReply(operation, held[n]?.external ?? '', result),
        )
      })
    },
    async remove(users) {
      return await onOurs(users, async (held) => {
        const operations = held.map(({ userId, external }): Operation => {
          return { userId, method: 'DELETE', path: userPath(external) }
        })
        return await repliesTo(operations, operate, (operation, result, n) =>
          removalReply(operation, held[n]?.external ?? '', result),
        )
      })
    },
    close: () => Promise.resolve(),
  }

  async function createAll(users: Delivery<ScimUser>[], operate: Operate): Promise<Reply[]> {
    const operations = users.map(({ userId, rendered }): Operation => {
      return { userId, method: 'POST', path: '/Users', data: rendered }
    })
    return await repliesTo(operations, operate, creationReply)
  }

  /**
   * Creates a user, and checks that the server keeps its externalId. A server that drops it has users then that nobody can find
   * again, so the user is removed. Throws PeerError `refused`.
   */
  async function createFirst(user: Delivery<ScimUser>): Promise<Reply> {
    const [reply] = await createAll([user], singly)
    if (!reply) throw new Error('a creation without a reply')
    if ('fault' in reply || reply.external === null) return reply
    keepsMark = await lookUp.isNewOneOurs(user.userId, reply.external)
    if (keepsMark) return reply
    const detail = 'The server does not keep the externalId of users, so they could not be found again.'
    return await refuseUnmarked(call, userPath(reply.external), detail)
  }

  /** Does something with those of the users that the server has. The others are gone. */
  async function onOurs<User extends Removal>(
    users: User[],
    task: (held: User[]) => Promise<Reply[]>,
  ): Promise<Reply[]> {
    const found = await lookUp.findHeld(users)
    const held = users.flatMap((user) => {
      const external = found.get(user.userId)
      return external === undefined ? [] : [{ ...user, external }]
    })
    const gone = users.filter(({ userId }) => !found.has(userId)).map(({ userId }) => ({ userId, external: null }))
    return [...gone, ...(held.length > 0 ? await task(held) : [])]
  }
}

/** Does operations, and returns what their results mean. */
async function repliesTo(
  operations: Operation[],
  operate: Operate,
  replyOf: (operation: Operation, result: Awaited<ReturnType<Operate>>[number], n: number) => Reply,
): Promise<Reply[]> {
  const results = await operate(operations)
  return operations.flatMap((operation, n) => {
    const result = results[n]
    return result ? [replyOf(operation, result, n)] : []
  })
}
