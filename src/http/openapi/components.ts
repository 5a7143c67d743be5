/** Members that hold values of clients, not schemas. */
const VALUES = new Set(['default', 'enum', 'example', 'examples'])

/**
 * Returns a copy in which each schema with a `title` is a reference to a component of that name, and adds these components to
 * `schemas`. Throws an Error if two different schemas have one title.
 */
export function liftSchemas(node: unknown, schemas: Record<string, object>): unknown {
  if (Array.isArray(node)) return node.map((each) => liftSchemas(each, schemas))
  if (typeof node !== 'object' || node === null) return node
  const members = Object.entries(node).map(([name, value]) => [
    name,
    VALUES.has(name) ? value : liftSchemas(value, schemas),
  ])
  const { title, ...schema } = Object.fromEntries(members)
  if (typeof title !== 'string') return Object.fromEntries(members)
  const known = schemas[title]
  if (known && JSON.stringify(known) !== JSON.stringify(schema)) throw new Error(`two schemas have the title ${title}`)
  schemas[title] = schema
  return { $ref: `#/components/schemas/${title}` }
}

interface Parameter {
  in: string
  name: string
}

/** Replaces each parameter that several operations have in the same form by a reference, and returns the components. */
export function liftParameters(operations: { parameters?: (Parameter | { $ref: string })[] }[]) {
  const parameters = operations.flatMap((operation) => (operation.parameters ?? []) as Parameter[])
  const shared = [...Map.groupBy(parameters, ({ name }) => name)].filter(
    ([, all]) => all.length > 1 && new Set(all.map((each) => JSON.stringify(each))).size === 1,
  )
  const components = Object.fromEntries(shared.map(([name, [first]]) => [name, first as Parameter]))
  for (const operation of operations) {
    if (operation.parameters === undefined) continue
    operation.parameters = operation.parameters.map((each) =>
      'name' in each && components[each.name] ? { $ref: `#/components/parameters/${each.name}` } : each,
    )
  }
  return components
}
