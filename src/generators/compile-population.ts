import type { FieldError } from '../errors.ts'
import { choice, zipf } from './choice.ts'
import { Compiler, type Generator } from './compiler.ts'
import { date } from './dates.ts'
import { known } from './faults.ts'
import { isLocale, LOCALES } from './locales.ts'
import { type Node, plainText } from './node.ts'
import { bool, decimal, int, seq } from './numbers.ts'
import { caseOf, ref } from './references.ts'
import { list, maybe } from './structures.ts'
import { template } from './template.ts'
import { name, pattern, phone, place } from './texts.ts'
import { unique } from './unique.ts'
import { compileUsernames } from './username-pattern.ts'
import { uuid } from './uuid.ts'

/** Every generator by its name in the settings. docs/generators.md shows each. */
export const GENERATORS: Readonly<Record<string, Generator>> = {
  $choice: choice,
  $int: int,
  $decimal: decimal,
  $bool: bool,
  $seq: seq,
  $date: date,
  $name: name,
  $place: place,
  $phone: phone,
  $pattern: pattern,
  $uuid: uuid,
  $template: template,
  $ref: ref,
  $maybe: maybe,
  $case: caseOf,
  $zipf: zipf,
  $list: list,
  $unique: unique,
}

/** Maximum number of values and draws for one user: some 0.2 ms. */
const MAX_COST = 10_000

/** The settings of a batch that decide its users, as the request or the stored batch contains them. */
export interface PopulationSettings {
  role: unknown
  custom_attributes: unknown
  username_pattern: string
  locale: string
  seed: string
  count: number
  /** Maximum bytes of one user's attributes, as PostgreSQL writes jsonb. */
  maxAttributesBytes: number
}

/**
 * The users of a batch. Each function takes n, from 1 to count, and is pure: a value depends on GENERATOR_VERSION, the seed, the path
 * of the attribute and n alone, and on the words of its locale.
 */
export interface Population {
  role: (n: number) => string
  /** Every role that occurs. The caller checks their length and form. */
  roles: readonly string[]
  /** The `custom_attributes` as JSON. */
  attributesJson: (n: number) => string
  /** Bytes of the longest attributes, as PostgreSQL writes jsonb. */
  maxAttributesBytes: number
  /** The username pattern with the user's attributes in `[a-z0-9._-]`. `{id}`, `{n}` and `{batch}` remain to be filled in. */
  usernamePattern: (n: number) => string
  /** The username pattern with the longest texts of attributes, for the checks that come before the first user. */
  longestUsernamePattern: string
  /** Number of values and draws for one user, at most. */
  cost: number
  /** Whether all users have the same role, attributes and username pattern. */
  isConstant: boolean
}

/**
 * Compiles a population. Returns every fault instead (at most 20), with paths such as `custom_attributes.age.$int`, if the settings
 * are invalid. Takes bounded time and memory for settings of any depth and size, and so does each user.
 */
export function compilePopulation(settings: PopulationSettings): Population | { faults: FieldError[] } {
  const { locale, custom_attributes } = settings
  const isObject =
    typeof custom_attributes === 'object' && custom_attributes !== null && !Array.isArray(custom_attributes)
  const attributes = (isObject ? custom_attributes : {}) as Record<string, unknown>
  const compiler = new Compiler({ ...settings, attributes }, GENERATORS)
  const { faults } = compiler
  if (!isLocale(locale)) faults.add(['locale'], 'unknown', `is no known locale.${known(locale, LOCALES)}`)
  const root = compileRoot(custom_attributes, isObject, compiler)
  const role = compileRole(settings.role, compiler)
  const usernames = compileUsernames(settings.username_pattern, compiler)
  const cost = (root?.cost ?? 0) + (role?.node.cost ?? 0)
  if (cost > MAX_COST) {
    faults.add(
      ['custom_attributes'],
      'too_large',
      `makes up to ${cost} values for one user; the maximum is ${MAX_COST}`,
    )
  }
  if (root && root.maxBytes > settings.maxAttributesBytes) {
    const expected = `must be at most ${settings.maxAttributesBytes} bytes, with every number written out`
    faults.add(
      ['custom_attributes'],
      'too_large',
      `${expected}; ${root.isConstant ? 'has' : 'can have'} ${root.maxBytes}`,
    )
  }
  if (faults.list.length > 0 || !root || !role || !usernames) return { faults: faults.list }
  return {
    role: (n) => plainText(role.node, n),
    roles: role.texts,
    attributesJson: (n) => root.json(n, 0) ?? '{}',
    maxAttributesBytes: root.maxBytes,
    usernamePattern: usernames.fill,
    longestUsernamePattern: usernames.longest,
    cost,
    isConstant: root.isConstant && role.node.isConstant && usernames.isConstant,
  }
}

function compileRoot(attributes: unknown, isObject: boolean, compiler: Compiler): Node | undefined {
  const path = ['custom_attributes']
  const members = isObject ? Object.keys(attributes as object) : []
  const generator = members.find((member) => /^\$(?!\$)/.test(member))
  if (isObject && generator === undefined)
    return compiler.object(compiler.settings.attributes, { path, siblings: undefined })
  return compiler.faults.add(
    path,
    'invalid',
    'expects an object of attributes; generators stand for the values of its members',
  )
}

/** Compiles the role. It is one of a few texts, so that all of them can be checked. */
function compileRole(raw: unknown, compiler: Compiler): { node: Node; texts: readonly string[] } | undefined {
  const path = ['role']
  const node = compiler.attribute(raw, { path, siblings: undefined })
  if (!node) return undefined
  if (node.texts && node.isText && !node.canBeAbsent) return { node, texts: node.texts }
  const expected = 'a text, or $choice, $zipf, $case or $ref of texts, for every user'
  return compiler.faults.add(path, 'invalid', `expects ${expected}`)
}
