import fc, { type Arbitrary } from 'fast-check'
import { anyCharacter } from '../any-character.ts'
import { wildJson, wildText } from './wild.ts'

/** A schema in the OpenAPI description: the parts of JSON Schema that it uses. */
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

/** Values of members by name that reach further than random values of the schema. */
export type Samples = Record<string, readonly unknown[]>

/** Values that are valid against the schema. */
export function valuesOf(schema: Schema, samples: Samples, name = ''): Arbitrary<unknown> {
  const known = samples[name]
  if (known && known.length > 0) return fc.constantFrom(...known)
  if (schema.enum) return fc.constantFrom(...schema.enum)
  if (schema.anyOf) return fc.oneof(...schema.anyOf.map((each) => valuesOf(each, samples, name)))
  switch (schema.type) {
    case 'object':
      return objectOf(schema, samples)
    case 'array':
      return fc.array(valuesOf(schema.items ?? {}, samples), { maxLength: Math.min(3, schema.maxItems ?? 3) })
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

function objectOf({ properties = {}, required = [], additionalProperties }: Schema, samples: Samples) {
  const members = Object.entries(properties).map(([name, member]) => [name, valuesOf(member, samples, name)])
  const known = fc.record(Object.fromEntries(members), { requiredKeys: required as never[] })
  if (typeof additionalProperties !== 'object') return known
  return fc
    .tuple(known, fc.dictionary(fc.string({ maxLength: 5 }), wildJson, { maxKeys: 3 }))
    .map(([some, more]) => ({ ...more, ...some }))
}

function textOf({ pattern, minLength = 0, maxLength = 60 }: Schema): Arbitrary<string> {
  // fast-check does not support lookahead. Other tests cover the words that it excludes.
  if (pattern) return fc.stringMatching(new RegExp(pattern.replace(/\(\?!.*?\$\)/, '')))
  const anyText = fc.string({ unit: anyCharacter, minLength, maxLength: Math.min(60, maxLength) })
  return fc.oneof(fc.string({ minLength, maxLength: Math.min(60, maxLength) }), anyText)
}

/** A value as it is written in a URL. */
export const spelled = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value))

/** The value with one error: a member removed, added, or replaced. */
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

/** Every member in the value, at any depth, as its parent and key. */
function placesIn(value: unknown): [Holder, string][] {
  if (typeof value !== 'object' || value === null) return []
  const holder = value as Holder
  return Object.keys(holder).flatMap((key) => [[holder, key] as [Holder, string], ...placesIn(holder[key])])
}
