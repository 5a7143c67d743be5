/** Logs are for the operator, responses for any client. */
export type Source = 'log' | 'answers'

/**
 * What neither a log nor an error response may contain. To make them findable, keys and passwords in tests contain
 * `s3cret`, and an encryption key is one byte repeated 32 times.
 */
const LEAKS: { what: string; found: RegExp; sources?: Source[] }[] = [
  { what: 'a key or password', found: /s3cret|TestPass123!/i },
  // States in tests consist of 00, ff and ab.
  { what: 'an encryption key', found: /\b(?!00|ff|ab)([0-9a-f]{2})\1{31}\b/i },
  { what: 'an encryption key in base64', found: /(?!(..)\1)([A-Za-z0-9+/]{4})\2{9}/ },
  {
    what: 'a hash',
    found:
      /\$argon2(?:id|i|d)\$|\$2[aby]\$\d\d\$|\bscrypt:\d+:\d+:\d+\$|\bpbkdf2_sha256\$\d+\$|\b[0-9a-f]{32}:[0-9a-f]{128}\b/,
  },
  { what: 'a TOTP secret', found: /\botpauth:\/\/|\btotp_secret\W+[A-Z2-7]{16}/ },
  { what: 'the login of an address', found: /\b[a-z]+:\/\/[^\s/@"]*:[^\s/@"]+@/i },
  { what: 'SQL', found: /\bselect\b.*\bfrom\b|\binsert into\b|\bdelete from\b|\bupdate \S+ set\b|\bfailed query\b/i },
  { what: 'words of PostgreSQL', found: /\bviolates \S+ constraint|\brelation \\?"|\bat or near\b|\bduplicate key\b/i },
  { what: 'a place in the code', found: /\bat [^"]*[/:][\w./@-]+:\d+:\d+|node_modules/, sources: ['answers'] },
]

/** The kind of leak in a line, including any of `values`; undefined if there is none. */
export function leakIn(line: string, source: Source, values: readonly string[] = []): string | undefined {
  if (values.some((value) => line.includes(value))) return 'a value'
  return LEAKS.find(({ found, sources }) => (sources?.includes(source) ?? true) && found.test(line))?.what
}
