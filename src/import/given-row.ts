/** A row as it came. */
export interface GivenRow {
  /** JSON, which PostgreSQL reads with every digit of its numbers. */
  text: string
  /** The same read by JavaScript, to be looked at; undefined where it is no JSON, or a CSV row of another length. */
  value: unknown
}

/** Reads a row's text; what is no JSON is a row all the same, for who judges rows. */
export function givenRow(text: string): GivenRow {
  try {
    return { text, value: JSON.parse(text) }
  } catch {
    return { text, value: undefined }
  }
}
