/** Longer texts of others are cut. */
const MAX_CHARACTERS = 500

/** Control and format characters, which move cursors, forge lines, hide text or, as U+0000, cannot be stored. */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

/** Text of a peer or a client, fit for logs, terminals and the database: well-formed, visible and bounded. */
export const untrustedText = (text: string, maxCharacters = MAX_CHARACTERS): string =>
  text.slice(0, maxCharacters).toWellFormed().replace(INVISIBLE, '\ufffd')

/** The error code that a peer sent; undefined if it is no code of the form that ours have. */
export const untrustedCode = (code: unknown): string | undefined =>
  typeof code === 'string' && /^[a-z_]{1,64}$/.test(code) ? code : undefined
