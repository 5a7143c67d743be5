import fc, { type Arbitrary } from 'fast-check'
import type { FuzzedRequest, Operation } from './fuzzed-request.ts'
import { type Known, SECRETS } from './known.ts'

/** What means something in CSV or JSON, and what is in neither. Half of all are quotes, which both have. */
const MARKS = ['"', ',', '\n', '\r', '\\', '{', '}', '[', ']', ':', '\0', '\ufeff']

/** Imports that are right, in each form, but for one place: a mark too many or instead of another character, or the end. */
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
