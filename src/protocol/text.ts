/** The text of an export in chunks: characters, or UTF-8 bytes as PostgreSQL sent them. */
export type Text = AsyncGenerator<string | Buffer, void, void>

/** Converts the chunks to characters. PostgreSQL's bytes never end within a character. */
export async function* characters(text: Text): AsyncGenerator<string, void, void> {
  for await (const part of text) yield String(part)
}
