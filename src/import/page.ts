import type { Row } from './check-row.ts'

/** So large that PostgreSQL sets the pace, so small that two pages are little memory. */
export const MOST_ROWS = 2_000
const MOST_CHARACTERS = 1_048_576

/** Rows that are written by one statement. */
export class Page {
  readonly rows: Row[] = []
  readonly #names = new Set<string>()
  #characters = 0

  add(row: Row): void {
    this.rows.push(row)
    this.#characters += row.text.length
    for (const name of namesOf(row)) this.#names.add(name)
  }

  isFull(): boolean {
    return this.rows.length >= MOST_ROWS || this.#characters >= MOST_CHARACTERS
  }

  /** Whether a row of the page has the same id, username or email. */
  hasNameOf(row: Row): boolean {
    return namesOf(row).some((name) => this.#names.has(name))
  }
}

const namesOf = ({ id, username, email }: Row) => [...(id === undefined ? [] : [`i${id}`]), `u${username}`, `e${email}`]
