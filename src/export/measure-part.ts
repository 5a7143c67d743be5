import { type FieldError, MAX_FAULTS, Problem } from '../errors.ts'
import type { Refusal, SystemFormat, SystemUser } from '../systems/system-format.ts'

/** What is known about a part before it is written. */
export interface MeasuredPart {
  users: number
  /** How many of them the system does not take, and why for the first ones. */
  refusedCount: number
  faults: FieldError[]
  /** The first user that the system takes, as rendered. */
  first: unknown
  /** The id of the last user, if there is one. */
  last: string | undefined
  /** Whether users follow after the last one. */
  hasMore: boolean
}

/** Finds the end of a part: where the system's limits end it, or where a user needs another head. */
export async function measurePart(
  format: SystemFormat,
  pages: AsyncIterable<SystemUser[]> | Iterable<SystemUser[]>,
): Promise<MeasuredPart> {
  const part: MeasuredPart = {
    users: 0,
    refusedCount: 0,
    faults: [],
    first: undefined,
    last: undefined,
    hasMore: false,
  }
  let head: string | undefined
  let bytes = 0
  for await (const page of pages) {
    for (const user of page) {
      const fitted = fit(format, user)
      const added = 'size' in fitted && head !== undefined ? format.separator.length + fitted.size : 0
      const isFull = part.users === format.part.users || bytes + added > format.part.bytes
      const isOther = 'size' in fitted && head !== undefined && fitted.head !== head
      if (isFull || isOther) return { ...part, hasMore: true }
      if ('size' in fitted) {
        bytes = head === undefined ? fitted.alone : bytes + added
        part.first ??= fitted.rendered
        head = fitted.head
      } else {
        part.refusedCount++
        if (part.faults.length < MAX_FAULTS) part.faults.push(faultOf(user, fitted.refusal))
      }
      part.users++
      part.last = user.id
    }
  }
  return part
}

/** A rendered user, its bytes, and the bytes of a part with it alone. */
interface Fitted {
  rendered: unknown
  head: string
  size: number
  alone: number
}

/** Renders a user. A user that is larger than a part is refused. */
function fit(format: SystemFormat, user: SystemUser): Fitted | { refusal: Refusal } {
  const rendering = format.render(user)
  if ('refusal' in rendering) return rendering
  const { rendered } = rendering
  const head = format.head(rendered)
  const size = Buffer.byteLength(format.write(rendered))
  const alone = Buffer.byteLength(head + format.tail) + size
  if (alone <= format.part.bytes) return { rendered, head, size, alone }
  const detail = `The user takes ${size} bytes there, and a part has at most ${format.part.bytes}.`
  return { refusal: { code: 'value_invalid', detail } }
}

const faultOf = ({ id }: SystemUser, { code, detail }: Refusal): FieldError => ({
  path: `users.${id}`,
  code,
  message: detail,
})

/** The problem of a part with users that the system does not take. */
export function notImportable({ users, refusedCount, faults }: MeasuredPart): Problem {
  const [first] = faults
  const count = `${refusedCount} of the ${users} users of this part cannot be written.`
  const detail = `${count} The first one is ${first?.path}: ${first?.message}`
  return new Problem('users_not_importable', detail, { errors: faults })
}
