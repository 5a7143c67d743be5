import { jsonbBytes } from '../protocol/longest-line.ts'
import { type Draws, drawsOf } from './draws.ts'
import { Faults, known, shown } from './faults.ts'
import { escaped, isAscii, mostOf, type Node, once, scalar } from './node.ts'

/** Maximum levels of values in values, and of references to references. Deeper ones would exhaust the stack. */
const MAX_LEVELS = 100

/** Maximum number of generators in a population. */
const MAX_GENERATORS = 1_000

type Members = Readonly<Record<string, unknown>>

/** Where a value stands in the settings. `siblings` are what names mean first; undefined directly in a list. */
export interface Place {
  path: readonly string[]
  siblings: { path: readonly string[]; members: Members } | undefined
}

/** A generator as the settings use it: `{"$name": argument, …options}`. */
export interface Use {
  name: string
  argument: unknown
  options: Members
  place: Place
}

/** A kind of generator: its options, and how it is compiled. `compile` returns undefined if it has added a fault. */
export interface Generator {
  options: readonly string[]
  compile: (use: Use, compiler: Compiler) => Node | undefined
}

export interface CompilerSettings {
  seed: string
  locale: string
  count: number
  attributes: Members
}

/** The place of a part of the value at `place`. */
export const inside = (place: Place, ...names: string[]): Place => ({ ...place, path: [...place.path, ...names] })

/** Compiles values, each attribute once, and follows references between attributes. */
export class Compiler {
  readonly settings: CompilerSettings
  readonly faults = new Faults()
  readonly #generators: Readonly<Record<string, Generator>>
  readonly #compiled = new Map<string, Node | undefined>()
  /** The attributes that are being compiled: each is part of the one before it, or the one before refers to it. */
  readonly #open: { id: string; path: readonly string[] }[] = []
  #generatorCount = 0

  constructor(settings: CompilerSettings, generators: Readonly<Record<string, Generator>>) {
    this.settings = settings
    this.#generators = generators
  }

  /** The random numbers of a place. */
  drawsAt = (place: Place): Draws => drawsOf(this.settings.seed, place.path)

  /** Compiles any value. Returns undefined after adding a fault. */
  value(raw: unknown, place: Place): Node | undefined {
    if (place.path.length > MAX_LEVELS) {
      return this.faults.add(place.path, 'too_deep', `is nested deeper than ${MAX_LEVELS} levels`)
    }
    if (Array.isArray(raw)) return this.#array(raw, place)
    if (typeof raw !== 'object' || raw === null) return constant(raw)
    const members = raw as Members
    return generatorNames(members).length > 0 ? this.#generator(members, place) : this.object(members, place)
  }

  /** Compiles an object of attributes. */
  object(members: Members, place: Place): Node | undefined {
    const siblings = { path: place.path, members }
    const nodes = Object.entries(members).map(([name, raw]) => ({
      name: JSON.stringify(unmarked(name)),
      node: this.attribute(raw, { path: [...place.path, name], siblings }),
    }))
    const parts = nodes.flatMap(({ name, node }) => (node ? [{ prefix: `${name}:`, node }] : []))
    if (parts.length < nodes.length) return undefined
    const json = (n: number, lane: number) => {
      let text = ''
      for (const { prefix, node } of parts) {
        const value = node.json(n, lane)
        if (value !== undefined) text += (text === '' ? '{' : ',') + prefix + value
      }
      return text === '' ? '{}' : `${text}}`
    }
    const bytes = parts.map(({ prefix, node }) => Buffer.byteLength(prefix) + ' , '.length + node.maxBytes)
    return structure(
      json,
      parts.map(({ node }) => node),
      bytes,
    )
  }

  #array(items: readonly unknown[], place: Place): Node | undefined {
    const parts = items.map((item, index) => this.value(item, inside(place, String(index))))
    const nodes = parts.flatMap((node) => node ?? [])
    if (nodes.length < parts.length) return undefined
    const json = (n: number, lane: number) => `[${nodes.flatMap((node) => node.json(n, lane) ?? []).join(',')}]`
    return structure(
      json,
      nodes,
      nodes.map((node) => node.maxBytes + ', '.length),
    )
  }

  #generator(members: Members, place: Place): Node | undefined {
    const [name = '', second] = generatorNames(members)
    if (second !== undefined) {
      const which = `${shown(name)} and ${shown(second)}`
      return this.faults.add(
        place.path,
        'invalid',
        `has two generators, ${which}. A name that begins with $ is written with $$`,
      )
    }
    const at = [...place.path, name]
    const generator = Object.hasOwn(this.#generators, name) ? this.#generators[name] : undefined
    if (!generator) {
      const hint = known(name, Object.keys(this.#generators))
      return this.faults.add(at, 'unknown', `is no generator.${hint} A name that begins with $ is written with $$`)
    }
    const { [name]: argument, ...options } = members
    const unknown = Object.keys(options).filter((option) => !generator.options.includes(option))
    for (const option of unknown) {
      this.faults.add([...place.path, option], 'unknown', `is no option of ${name}.${known(option, generator.options)}`)
    }
    if (++this.#generatorCount > MAX_GENERATORS) {
      return this.faults.add(at, 'too_large', `is one of more than ${MAX_GENERATORS} generators`)
    }
    const node = generator.compile({ name, argument, options, place }, this)
    return unknown.length > 0 ? undefined : node
  }

  /** Compiles a member of an object, or returns it if a reference has compiled it before. */
  attribute(raw: unknown, place: Place): Node | undefined {
    const id = JSON.stringify(place.path)
    if (this.#compiled.has(id)) return this.#compiled.get(id)
    const from = this.#open.at(-1)?.path ?? place.path
    const first = this.#open.findIndex((open) => open.id === id)
    if (first >= 0) {
      const circle = [...this.#open.slice(first).map(({ path }) => path), place.path]
      const names = circle.map((path) => path.slice(1).map(shown).join('.')).join(' -> ')
      return this.faults.add(from, 'circular', `is part of a circle of references: ${names}`)
    }
    const tooDeep = `refers to attributes that refer to others over more than ${MAX_LEVELS} levels`
    if (this.#open.length >= MAX_LEVELS) return this.faults.add(from, 'too_deep', tooDeep)
    this.#open.push({ id, path: place.path })
    let node = this.value(raw, place)
    this.#open.pop()
    if (node && node.depth > MAX_LEVELS) node = this.faults.add(place.path, 'too_deep', tooDeep)
    this.#compiled.set(id, node)
    return node
  }

  /** Finds a top-level attribute, or one inside by a path such as `address.city`. */
  find = (name: string) => find(this.#top, name)

  /** The names of the top-level attributes. */
  attributeNames = (): string[] => Object.keys(this.settings.attributes).map(unmarked)

  /**
   * Returns the attribute that `name` means at `place`: another member of the same object, else a top-level attribute, or a
   * path from either. `at` is the path of faults.
   */
  lookUp(name: string, place: Place, at: readonly string[]): Node | undefined {
    const sibling = place.siblings && find(place.siblings, name)
    const isOwn = sibling?.place.path.every((part, index) => part === place.path[index])
    if (sibling && !isOwn) return this.attribute(sibling.raw, sibling.place)
    const found = this.find(name)
    const node = found && this.attribute(found.raw, found.place)
    if (found) return node && atTop(node)
    if (this.faults.isFull) return undefined
    const names = [...Object.keys(place.siblings?.members ?? {}).map(unmarked), ...this.attributeNames()]
    return this.faults.add(at, 'unknown', `names no attribute: ${shown(name)}.${known(name, [...new Set(names)])}`)
  }

  get #top() {
    return { path: ['custom_attributes'], members: this.settings.attributes }
  }
}

/** A value that is the same for each user. */
export function constant(raw: unknown): Node {
  const json = JSON.stringify(raw)
  const isText = typeof raw === 'string'
  const plain = raw === null ? '' : String(raw)
  const text = isText ? escaped(raw) : plain
  const bytes = jsonbBytes(json)
  const maxTextBytes = isText ? bytes - 2 : bytes
  const node = scalar({
    text: () => text,
    isText,
    maxTextBytes,
    texts: [plain],
    isAscii: isAscii(plain),
    isConstant: true,
  })
  return { ...node, json: () => json, cost: 0 }
}

/** An object or array with the given parts. `bytes` are their sizes, with a comma and a space after each. */
function structure(json: Node['json'], parts: readonly Node[], bytes: readonly number[]): Node {
  const isConstant = parts.every((part) => part.isConstant)
  return {
    json: isConstant ? once(json) : json,
    text: undefined,
    texts: undefined,
    isText: false,
    isAscii: false,
    isConstant,
    canBeAbsent: false,
    maxBytes: bytes.reduce((sum, size) => sum + size, '{}'.length) - (bytes.length > 0 ? ', '.length : 0),
    cost: isConstant ? 1 : parts.reduce((sum, part) => sum + part.cost, 1),
    depth: 1 + mostOf(parts, (part) => part.depth),
  }
}

const generatorNames = (members: Members) => Object.keys(members).filter((name) => /^\$(?!\$)/.test(name))

/** The name that a member gets in the value. `$$x` is written for `$x`. */
const unmarked = (name: string) => (name.startsWith('$$') ? name.slice(1) : name)
const marked = (name: string) => (name.startsWith('$') ? `$${name}` : name)

const isPlainObject = (raw: unknown): raw is Members =>
  typeof raw === 'object' && raw !== null && !Array.isArray(raw) && generatorNames(raw as Members).length === 0

/** A top-level attribute has one value per user, also where an element of a list refers to it. */
function atTop(node: Node): Node {
  const { json, text } = node
  return { ...node, json: (n) => json(n, 0), text: text && ((n) => text(n, 0)) }
}

/** Finds a member by its name, else by a path of names. */
function find(siblings: NonNullable<Place['siblings']>, name: string): { raw: unknown; place: Place } | undefined {
  const exact = marked(name)
  if (Object.hasOwn(siblings.members, exact)) {
    return { raw: siblings.members[exact], place: { path: [...siblings.path, exact], siblings } }
  }
  const dot = name.indexOf('.')
  const head = marked(name.slice(0, Math.max(0, dot)))
  const members = Object.hasOwn(siblings.members, head) ? siblings.members[head] : undefined
  if (dot < 0 || !isPlainObject(members)) return undefined
  return find({ path: [...siblings.path, head], members }, name.slice(dot + 1))
}
