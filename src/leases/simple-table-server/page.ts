/**
 * The pages of the Simple Table Server, byte for byte as its code writes them on Linux: scripts read them with regular expressions such
 * as `<body>(.+?);(.+?)</body>`, so a line is not escaped.
 */
const page = (title: 'OK' | 'KO', body: string) => `<html><title>${title}</title>\n<body>${body}</body>\n</html>`

export const okPage = (text: string | number = '') => page('OK', String(text))

/** The page of an error. Escaped, because it may repeat what the client sent. */
export const koPage = (sentence: string) => page('KO', `Error : ${escapeHtml(sentence)}`)

/** The answer to STATUS: a line for each file. */
export const statusPage = (lines: string[]) =>
  `<html><title>OK</title>\n<body>\n${lines.map((line) => `${line}<br />\n`).join('')}</body></html>`

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' }
const escapeHtml = (text: string) => text.replace(/[&<>]/g, (character) => ENTITIES[character] ?? character)

/**
 * Headers of every page. A line is text that others chose, and not escaped: a browser that opens the page runs nothing in it. No cache
 * may give one line to two readers.
 */
export const PAGE_HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'; sandbox",
  'cache-control': 'no-store',
}
