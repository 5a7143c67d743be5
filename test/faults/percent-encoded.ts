/** The text, percent-encoded. A lone surrogate, which UTF-8 does not allow, is encoded as the bytes it would have. */
export const percentEncoded = (text: string): string =>
  Array.from(text, (character) => (character.isWellFormed() ? encodeURIComponent(character) : bytesOf(character))).join(
    '',
  )

const bytesOf = (half: string): string => {
  const unit = half.charCodeAt(0)
  return [0xe0 | (unit >> 12), 0x80 | ((unit >> 6) & 0x3f), 0x80 | (unit & 0x3f)]
    .map((byte) => `%${byte.toString(16).toUpperCase()}`)
    .join('')
}
