import { memoize } from '../process/memoize.ts'
import type { State } from '../protocol/state.ts'
import type { Plan } from './answer.ts'

/** The headers of every export and of its errors. */
export const CACHING_HEADERS = {
  vary: 'accept, accept-encoding, authorization',
  'cache-control': 'private, no-cache',
}

/** The headers that describe the response: enough for a client that reads no body. */
export const stateHeaders = (kind: Plan['kind'], base: State | undefined, state: State) => ({
  etag: `W/"${state}"`,
  'usersync-kind': kind,
  'usersync-base': base ?? 'none',
  'usersync-state': state,
})

/** All headers of an unchanged export. They are cached, because many clients ask for few states. */
export const unchangedHeaders = memoize((state) => ({
  ...CACHING_HEADERS,
  ...stateHeaders('unchanged', state, state),
}))
