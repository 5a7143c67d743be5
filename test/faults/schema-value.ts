import fc, { type Arbitrary } from 'fast-check'
import { wildJson, wildText } from './wild.ts'

/** What the service's description says of a value: as much of JSON Schema as it uses. */
export interface Schema {
  type?: string
  enum?: unknown[]
  anyOf?: Schema[]
  properties?: Record<string, Schema>
  required?: string[]
  additionalProperties?: Schema | boolean
  items?: Schema
  maxItems?: number
  minimum?: number
  maximum?: number
  minLength?: number
  maxLength?: number
  pattern?: string
}

/** Values of a member, by its name, that lead further than those that its schema alone would give. */
export type Telling = Record<string, readonly unknown[]>

/** Values that the schema allows. */
export function valuesOf(schema: Schema, telling: Telling, name = ''): Arbitrary<unknown> {
  const told = telling[name]
  if (told && told.length > 0) return fc.constantFrom(...told)
  if (schema.enum) return fc.constantFrom(...schema.enum)
  if (schema.anyOf) return fc.oneof(...schema.anyOf.map((each) => valuesOf(each, telling, name)))
  switch (schema.type) {
    case 'object':
      return objectOf(schema, telling)
    case 'array':
      return fc.array(valuesOf(schema.items ?? {}, telling), { maxLength: Math.min(3, schema.maxItems ?? 3) })
    case 'integer':
      return fc.integer({ min: schema.minimum ?? -(2 ** 53), max: schema.maximum ?? 2 ** 53 })
    case 'number':
      return fc.double({ min: schema.minimum ?? -1e9, max: schema.maximum ?? 1e9, noNaN: true })
    case 'boolean':
      return fc.boolean()
    case 'null':
      return fc.constant(null)
    case 'string':
      return textOf(schema)
    default:
      return wildJson
  }
}

function objectOf({ properties = {}, required = [], additionalProperties }: Schema, telling: Telling) {
  const members = Object.entries(properties).map(([name, member]) => [name, valuesOf(member, telling, name)])
  const known = fc.record(Object.fromEntries(members), { requiredKeys: required as never[] })
  if (typeof additionalProperties !== 'object') return known
  return fc
    .tuple(known, fc.dictionary(fc.string({ maxLength: 5 }), wildJson, { maxKeys: 3 }))
    .map(([some, more]) => ({ ...more, ...some }))
}

function textOf({ pattern, minLength = 0, maxLength = 60 }: Schema): Arbitrary<string> {
  // fast-check knows no lookahead; the words that one leaves out are tried by their own tests.
  if (pattern) return fc.stringMatching(new RegExp(pattern.replace(/\(\?!.*?\$\)/, '')))
  const anyCharacter = fc.string({ unit: 'binary', minLength, maxLength: Math.min(60, maxLength) })
  return fc.oneof(fc.string({ minLength, maxLength: Math.min(60, maxLength) }), anyCharacter)
}

/** A value as it stands in an address. */
export const spelled = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value))

/** The value with one place of it wrong: a member away, one too many, or another value there. */
export const nearlyValue = (values: Arbitrary<unknown>): Arbitrary<unknown> =>
  fc
    .tuple(values, fc.nat(), fc.constantFrom('drop', 'add', 'replace', 'text'), wildJson, wildText)
    .map(([value, place, change, other, name]) => {
      const copy = structuredClone(value)
      const places = placesIn(copy)
      const [holder, key] = places[place % Math.max(1, places.length)] ?? []
      if (holder === undefined || key === undefined) return other
      if (change === 'drop') delete holder[key]
      else if (change === 'replace') holder[key] = other
      else if (change === 'text') holder[key] = spelled(holder[key])
      else Object.defineProperty(holder, name, { value: other, enumerable: true, configurable: true, writable: true })
      return copy
    })

type Holder = Record<string, unknown>

/** Every member in the value, however deep, as what holds it and its name. */
function placesIn(value: unknown): [Holder, string][] {
  if (typeof value !== 'object' || value === null) return []
  const holder = value as Holder
  return Object.keys(holder).flatMap((key) => [[holder, key] as [Holder, string], ...placesIn(holder[key])])
}
