import { remembered } from '../http/memoize.ts'
import type { State } from '../protocol/state.ts'
import type { Plan } from './answer.ts'

/** The headers that stand on every export whatever it says, and on the errors in place of its body. */
export const CACHING_HEADERS = {
  vary: 'accept, accept-encoding, authorization',
  'cache-control': 'private, no-cache',
}

/** The headers that tell what the answer is: enough for a client that reads no body. */
export const stateHeaders = (kind: Plan['kind'], base: State | undefined, state: State) => ({
  etag: `W/"${state}"`,
  'usersync-kind': kind,
  'usersync-base': base ?? 'none',
  'usersync-state': state,
})

/** All of these of an unchanged export: few states are asked for by many. */
export const unchangedHeaders = remembered((state) => ({
  ...CACHING_HEADERS,
  ...stateHeaders('unchanged', state, state),
}))
