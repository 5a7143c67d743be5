/* Distinguished names as text (RFC 4514). */

/** Characters that end a value or mean something else in it. */
const SPECIAL = new Set(['"', '+', ',', ';', '<', '=', '>', '\\', '\0'])

/**
 * Returns an RDN as text, such as `uid=ann`. Special characters are written as `\2C`, their bytes, so that no text ever contains a comma
 * that is not a border: ldapts splits names at commas.
 */
export function writeRdn(attribute: string, value: string): string {
  const escaped = [...value].map((character, index, { length }) => {
    const isEdge = index === 0 ? /[ #]/.test(character) : index === length - 1 && character === ' '
    return isEdge || SPECIAL.has(character) ? hex(character) : character
  })
  return `${attribute}=${escaped.join('')}`
}

const hex = (character: string) => `\\${character.charCodeAt(0).toString(16).padStart(2, '0').toUpperCase()}`

/** A distinguished name: its first RDN, and the name of the entry above. */
export interface SplitName {
  attribute: string
  value: string
  parent: string
}

/**
 * Splits a name as any server writes it. Returns undefined for a first RDN with several attributes or with a value in BER (`#04…`), which
 * are not ours.
 */
export function splitName(dn: string): SplitName | undefined {
  const [, attribute = '', text = '', border, parent = ''] =
    /^ *([\w.;-]+) *= *((?:\\[0-9a-f]{2}|\\.|[^\\,+;])*?) *(?:([,+;])(.*))?$/is.exec(dn) ?? []
  if (attribute === '' || border === '+' || text.startsWith('#')) return undefined
  return { attribute, value: readValue(text), parent: parent.trimStart() }
}

/** `\2C` is a byte of UTF-8, `\,` the character itself. */
function readValue(text: string): string {
  const parts = text.matchAll(/((?:\\[0-9a-f]{2})+)|\\(.)|([^\\]+)/gis)
  return Array.from(parts, ([, bytes, character, plain]) =>
    bytes === undefined ? (character ?? plain ?? '') : Buffer.from(bytes.replaceAll('\\', ''), 'hex').toString(),
  ).join('')
}
