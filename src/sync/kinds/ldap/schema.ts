import { PeerError } from '../../../client/peer.ts'
import type { Directory } from './directory.ts'
import { CODES, ResultError } from './faults.ts'
import { type EntryMapping, markOf } from './mapping.ts'

/**
 * Checks that a directory can take the entries of a mapping: that `base` is there, that the schema knows the attributes and object
 * classes, and that entries can be found by the attribute that has the id. Throws PeerError and ResultError.
 */
export async function checkSchema(directory: Directory, mapping: EntryMapping): Promise<void> {
  const { base, attributes } = mapping
  const entry = await directory.read(base, ['subschemaSubentry'])
  const [subschema] = entry.get('subschemasubentry') ?? []
  const schema = subschema === undefined ? undefined : await readSchema(directory, subschema)
  const classes = Object.entries(attributes).find(([name]) => name.toLowerCase() === 'objectclass')?.[1]
  requireKnown('attribute', 'attributes', Object.keys(attributes).map(withoutOptions), schema?.attributeTypes)
  requireKnown('object class', 'attributes.objectClass', [classes].flat().map(String), schema?.objectClasses)
  await requireEquality(directory, base, markOf(mapping) ?? '')
}

const withoutOptions = (attribute: string) => attribute.split(';')[0] ?? attribute

/** Reads the names of a schema, in lower case (RFC 4512, section 4.2). Undefined if bind_dn must not read it. */
async function readSchema(directory: Directory, subschema: string) {
  const entry = await directory.read(subschema, ['attributeTypes', 'objectClasses']).catch((error) => {
    if (error instanceof ResultError) return new Map<string, string[]>()
    throw error
  })
  return {
    attributeTypes: namesOf(entry.get('attributetypes')),
    objectClasses: namesOf(entry.get('objectclasses')),
  }
}

/** The OIDs and names of definitions such as `( 0.9.2342.19200300.100.1.1 NAME ( 'uid' 'userid' ) … )`. */
function namesOf(definitions: string[] = []): Set<string> {
  const names = definitions.flatMap((definition) => {
    const [, oid = '', one = '', several = ''] =
      /^\s*\(\s*([\w.-]+)(?:\s+NAME\s+(?:('[^']*')|\(([^)]*)\)))?/.exec(definition) ?? []
    return [oid, ...`${one} ${several}`.split(/[\s']+/)]
  })
  return new Set(names.map((name) => name.toLowerCase()))
}

function requireKnown(what: string, path: string, names: string[], known: Set<string> | undefined): void {
  if (!known || known.size === 0) return
  const unknown = names.filter((name) => !known.has(name.toLowerCase()))
  if (unknown.length === 0) return
  throw new PeerError('refused', `mapping.${path}: the schema of the directory has no ${what} ${unknown.join(', ')}.`)
}

/** A comparison fails if the directory cannot search for values of the attribute; its result does not matter. */
async function requireEquality(directory: Directory, base: string, attribute: string): Promise<void> {
  try {
    await directory.compare(base, { attribute, value: 'none' })
  } catch (error) {
    if (!(error instanceof ResultError) || error.code === CODES.undefinedAttributeType) throw error
    if (error.code !== CODES.inappropriateMatching) return
    const why = `the directory cannot search for values of ${attribute}`
    throw new PeerError('refused', `mapping.attributes: ${why}, so {id} must be the value of another attribute.`)
  }
}
