import { type MemberFault, Problem } from '../errors.ts'
import { PLACE } from './read-members.ts'

/** Gives what the check gives, or the faults for which it throws, told as of `place`. Throws what is no fault of input. */
export function attempt<Value>(
  check: () => Value,
  place = PLACE,
): { value: Value; errors: [] } | { value: undefined; errors: MemberFault[] } {
  try {
    return { value: check(), errors: [] }
  } catch (error) {
    if (!(error instanceof Problem) || !error.errors) throw error
    const errors = error.errors.map((fault) => ({ ...fault, path: fault.path.replace(PLACE, place) }))
    return { value: undefined, errors }
  }
}
