import { editDistance } from '../config/edit-distance.ts'
import { type FieldError, MAX_FAULTS } from '../errors.ts'

/** Longer texts of a request are cut in messages. */
const MAX_SHOWN = 60

/** Maximum number of names that an unknown name is compared with. */
const MAX_COMPARED = 200

/** Collects what is wrong with a population, at most 20 faults. */
export class Faults {
  readonly list: FieldError[] = []

  /** Whether further faults are dropped, so that no time needs to be spent on their messages. */
  get isFull(): boolean {
    return this.list.length >= MAX_FAULTS
  }

  /** Adds a fault of the member at `path`. Returns undefined, as what cannot be compiled. */
  add(path: readonly string[], code: string, message: string): undefined {
    if (!this.isFull) this.list.push({ path: path.map(shown).join('.'), code, message })
  }
}

/** A text of the request as a message shows it. */
export const shown = (text: string): string =>
  text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN).toWellFormed()}…` : text

/** Names what exists instead of an unknown name: ` Did you mean x?` or ` Known: x, y.` */
export function known(name: string, names: readonly string[]): string {
  const isNear = (each: string) => editDistance(name, each) <= (name.length < 5 ? 1 : 2)
  const similar =
    name.length <= 40 ? names.slice(0, MAX_COMPARED).find((each) => each.length <= 42 && isNear(each)) : undefined
  if (similar !== undefined) return ` Did you mean ${shown(similar)}?`
  if (names.length === 0) return ''
  return ` Known: ${names.slice(0, 20).map(shown).join(', ')}${names.length > 20 ? ', …' : ''}.`
}
