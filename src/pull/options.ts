/** The options of a pull, for its parser, its help and shell completion. Each takes a value. */
export const PULL_OPTIONS = {
  url: { value: 'URL', description: 'the service (default: USERSYNC_URL, else http://127.0.0.1:3000)' },
  'key-file': { value: 'PATH', isFile: true, description: 'read the API key from PATH, not from USERSYNC_KEY' },
  pool: { value: 'NAME', description: 'the pool (default: default)' },
  out: { value: 'FILE', isFile: true, description: 'the file to keep in sync; required' },
  format: {
    value: 'F',
    choices: ['csv', 'ndjson', 'json'],
    description: 'csv, ndjson or json (default: by the extension of FILE, else csv)',
  },
  filter: {
    value: 'LIST',
    description: 'batch_id=ID, test_users_only=true|false, bulk_users_only=true|false; any of them, with commas',
  },
  shard: { value: 'I/N', description: 'part I (0 to N-1) of N' },
  include: {
    value: 'LIST',
    description: 'password, password_hash, totp_secret; any of them, with commas. Needs the scope credentials:read',
  },
  shuffle: { value: 'SEED', description: 'a random order that follows from SEED, instead of the order of ids' },
  every: { value: 'TIME', description: 'repeat with this pause between rounds: 1s to 24h, such as 30s, 5m, 1h' },
  'max-mb': {
    value: 'N',
    description:
      'write at most N MB for FILE and FILE.base together (default: leave 1 GB free, or a tenth of a smaller disk)',
  },
} as const satisfies Record<
  string,
  { value: string; description: string; choices?: readonly string[]; isFile?: boolean }
>
