/** The text of an export in parts, to be put together: characters, or the UTF-8 bytes in which PostgreSQL made them. */
export type Text = AsyncGenerator<string | Buffer, void, void>

/** The same text as characters; PostgreSQL's bytes never end within one. */
export async function* characters(text: Text): AsyncGenerator<string, void, void> {
  for await (const part of text) yield String(part)
}
