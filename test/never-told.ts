/** Logs are for the operator, answers for whoever asks. */
export type Teller = 'log' | 'answers'

/** So that they can be found, a key or password that a test makes up holds `s3cret`, and an encryption key is one byte 32 times. */
const NEVER_TOLD: { what: string; found: RegExp; tellers?: Teller[] }[] = [
  { what: 'a key or password', found: /s3cret|TestPass123!/i },
  // 00, ff and ab stand in states that tests make up.
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
  { what: 'a place in the code', found: /\bat [^"]*[/:][\w./@-]+:\d+:\d+|node_modules/, tellers: ['answers'] },
]

/** What a line holds that must stand in no log and no error, of `values` too; undefined where it holds nothing of that. */
export function toldIn(line: string, teller: Teller, values: readonly string[] = []): string | undefined {
  if (values.some((value) => line.includes(value))) return 'a value'
  return NEVER_TOLD.find(({ found, tellers }) => (tellers?.includes(teller) ?? true) && found.test(line))?.what
}
