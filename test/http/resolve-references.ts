/** Returns a copy of an OpenAPI document in which each reference is replaced by what it refers to. */
export function resolveReferences<Document>(document: Document): Document {
  const resolve = (node: unknown): unknown => {
    if (Array.isArray(node)) return node.map(resolve)
    if (typeof node !== 'object' || node === null) return node
    if ('$ref' in node) return resolve(targetOf(document, String(node.$ref)))
    return Object.fromEntries(Object.entries(node).map(([name, value]) => [name, resolve(value)]))
  }
  return resolve(document) as Document
}

/** Follows a reference within the document, `#/components/…`. */
function targetOf(document: unknown, reference: string): unknown {
  const names = reference.split('/').slice(1)
  const target = names.reduce((node, name) => (node as Record<string, unknown> | undefined)?.[name], document)
  if (target === undefined) throw new Error(`${reference} refers to nothing`)
  return target
}
