import fc, { type Arbitrary } from 'fast-check'
import type { FuzzedRequest, Operation } from './fuzzed-request.ts'
import { type Known, SECRETS } from './known.ts'

/**
 * Characters with a meaning in CSV or JSON, and some that are valid in neither. Half of the choices are quotes, which
 * both use.
 */
const MARKS = ['"', ',', '\n', '\r', '\\', '{', '}', '[', ']', ':', '\0', '\ufeff']

/** Valid imports in each format, except for one place: a character inserted or replaced, or the rest cut off. */
export function brokenImport(operation: Operation, { imports }: Known): Arbitrary<FuzzedRequest> {
  const body = fc
    .tuple(
      fc.constantFrom(...imports),
      fc.nat(),
      fc.oneof(fc.constant('"'), fc.constantFrom(...MARKS)),
      fc.constantFrom('insert', 'replace', 'cut'),
    )
    .map(([{ type, text }, place, mark, way]) => {
      const at = place % text.length
      const after = { insert: mark + text.slice(at), replace: mark + text.slice(at + 1), cut: '' }[way]
      return { type, bytes: Buffer.from(text.slice(0, at) + after) }
    })
  const query = fc.constantFrom('', '?on_conflict=skip', '?on_conflict=update', '?pool=fuzz&on_conflict=update')
  return fc.tuple(body, query).map(([{ type, bytes }, query]) => ({
    operation,
    method: operation.method,
    target: operation.path + query,
    headers: { authorization: `Bearer ${SECRETS.adminKey}`, 'content-type': type },
    body: bytes,
  }))
}
