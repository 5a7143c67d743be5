/** The words of a language. Lists are not empty. */
export interface Locale {
  firstNames: readonly string[]
  lastNames: readonly string[]
  cities: readonly string[]
  countries: readonly string[]
  /** Lines of an address. `{number}` stands for a house number. */
  streets: readonly string[]
  /** `{first} {last}`, `{last} {first}` or `{last}{first}`. */
  fullName: string
  /** A pattern, see docs/generators.md. */
  postcode: string
  /** Patterns of numbers that are reserved for fiction. */
  phone: readonly string[]
}

/** All languages, and how a text is written in a username. */
export interface Words {
  locales: readonly string[]
  /** Returns one of `locales`. */
  read: (locale: string) => Locale
  /** Transliterates a text of a locale to `[a-z0-9._-]*`. */
  toAsciiName: (text: string, locale: string) => string
}
