/** Longer texts are cut. */
const MAX_CHARACTERS = 500

/** Control and format characters, which move cursors, forge lines or hide text. PostgreSQL cannot store U+0000. */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

/** Makes a text of a peer or client safe for logs, terminals and the database: well-formed, visible and bounded. */
export const untrustedText = (text: string, maxCharacters = MAX_CHARACTERS): string =>
  text.slice(0, maxCharacters).toWellFormed().replace(INVISIBLE, '\ufffd')

/** Returns the error code that a peer sent. Undefined if it does not have the format of our codes. */
export const untrustedCode = (code: unknown): string | undefined =>
  typeof code === 'string' && /^[a-z_]{1,64}$/.test(code) ? code : undefined
