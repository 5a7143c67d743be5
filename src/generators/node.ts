import type { LocaleName } from './locales.ts'

/**
 * Returns a value of user `n` (from 1) as a text, undefined if it is absent. `lane` is the place in a list, 0 outside of lists.
 */
export type Write = (n: number, lane: number) => string | undefined

/** A compiled value: writes it for each user, and knows its bounds before the first user. */
export interface Node {
  /** Writes JSON. */
  json: Write
  /** Writes what stands between the quotes of a JSON text, escaped. Null is empty. Undefined for objects and arrays. */
  text: Write | undefined
  /** Every text that the value can have, not escaped, if these are few. */
  texts: readonly string[] | undefined
  isText: boolean
  isAscii: boolean
  isConstant: boolean
  canBeAbsent: boolean
  /** Bytes of the longest value as PostgreSQL writes jsonb. */
  maxBytes: number
  /** Number of values and draws that one user takes, at most. */
  cost: number
  /** Levels of values in values and of references. */
  depth: number
  /** The locale of a word or name, if it names one. */
  locale?: LocaleName
  /** Whether different users have different values. */
  isDistinct?: boolean
  /** For `$unique`: the values can be numbered, and different numbers have different values. */
  ranked?: Ranked | undefined
}

/** Values by number. */
export interface Ranked {
  /** Number of values, at most 2^53. */
  size: number
  /** Writes value number `rank`, which is below `size`, as `Node.text` does. The user decides what the number does not. */
  text: (rank: number, n: number, lane: number) => string
}

/** Maximum number of texts that are listed one by one. */
const MAX_TEXTS = 20_000

/** Escapes a text as JSON does, without the quotes. */
export const escaped = (text: string): string => JSON.stringify(text).slice(1, -1)

/** Reverses `escaped`. */
const unescaped = (text: string): string => (text.includes('\\') ? JSON.parse(`"${text}"`) : text)

/** Whether all characters are ASCII, so that bytes are characters. */
export const isAscii = (text: string): boolean => /^[\0-\x7f]*$/.test(text)

/** A text, number or boolean that is always present. `text` writes it without quotes, escaped. */
export function scalar(
  value: { text: (n: number, lane: number) => string; isText: boolean; maxTextBytes: number } & Partial<
    Pick<Node, 'texts' | 'isAscii' | 'locale' | 'isConstant' | 'cost' | 'depth' | 'ranked' | 'isDistinct'>
  >,
): Node {
  const { text, isText, maxTextBytes, ...rest } = value
  return {
    json: isText ? (n, lane) => `"${text(n, lane)}"` : text,
    text,
    texts: undefined,
    isText,
    isAscii: true,
    isConstant: false,
    canBeAbsent: false,
    maxBytes: maxTextBytes + (isText ? 2 : 0),
    cost: 1,
    depth: 1,
    ...rest,
  }
}

/** The value of a user that has none. */
export const ABSENT: Node = {
  ...scalar({ text: () => '', isText: true, maxTextBytes: 0, texts: [], cost: 0 }),
  json: () => undefined,
  text: () => undefined,
  canBeAbsent: true,
}

/** Bytes of the longest text of a scalar node, as it stands in a template. */
export const maxTextBytes = (node: Node): number => node.maxBytes - (node.isText ? 2 : 0)

/** The bounds of a node that writes one of `nodes`: all members but `json` and `text`. */
export function anyOf(nodes: readonly Node[]): Omit<Node, 'json' | 'text'> {
  const isListed =
    nodes.every(({ texts }) => texts) && nodes.reduce((sum, { texts }) => sum + (texts?.length ?? 0), 0) <= MAX_TEXTS
  return {
    texts: isListed ? [...new Set(nodes.flatMap(({ texts }) => texts ?? []))] : undefined,
    isText: nodes.every((node) => node.isText),
    isAscii: nodes.every((node) => node.isAscii),
    isConstant: false,
    canBeAbsent: nodes.some((node) => node.canBeAbsent),
    maxBytes: mostOf(nodes, (node) => node.maxBytes),
    cost: 1 + mostOf(nodes, (node) => node.cost),
    depth: 1 + mostOf(nodes, (node) => node.depth),
  }
}

/** The maximum over nodes, 0 if there are none. They can be too many for the arguments of `Math.max`. */
export const mostOf = (nodes: readonly Node[], number: (node: Node) => number): number =>
  nodes.reduce((most, node) => Math.max(most, number(node)), 0)

/** Writes a constant the first time. It is not written at compile time, when its size is not checked yet. */
export function once<Text extends string | undefined>(write: (n: number, lane: number) => Text): () => Text {
  let written: { text: Text } | undefined
  return () => {
    written ??= { text: write(1, 0) }
    return written.text
  }
}

/** Writes the text of a node that `anyOf` describes: undefined if one of the nodes is an object or array. */
export const textOfAny = (nodes: readonly Node[], write: Write): Write | undefined =>
  nodes.every((node) => node.text) ? write : undefined

/** The text of a user's attribute, not escaped. Empty if it is absent. */
export const plainText = (node: Node, n: number): string => unescaped(node.text?.(n, 0) ?? '')
