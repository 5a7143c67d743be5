import { readConfig } from '../../src/config/config.ts'
import { sharedCaching } from '../../src/export/shared-caching.ts'
import { suite } from '../suite.ts'

const t = suite()

const KEY = 'reader=users:read=reader-s3cret-of-32-characters-or-more'

t.test('a shared cache may store only what is open to everybody, unless SHARED_CACHE is on', (t) => {
  const cases: [settings: Record<string, string>, who: string, vary: string][] = [
    [{}, 'public', 'accept-encoding'],
    [{ SHARED_CACHE: 'on' }, 'public', 'accept-encoding'],
    [{ API_KEYS: KEY }, 'private', 'accept-encoding, authorization'],
    [{ API_KEYS_FILE: '/keys' }, 'private', 'accept-encoding, authorization'],
    [{ API_KEYS: KEY, SHARED_CACHE: 'on' }, 'public', 'accept-encoding, authorization'],
  ]
  for (const [settings, who, vary] of cases) {
    t.strictSame(sharedCaching(readConfig(settings)), {
      currentState: { vary, 'cache-control': `${who}, max-age=1, stale-while-revalidate=1` },
      immutable: { vary, 'cache-control': `${who}, max-age=31536000, immutable` },
      none: { vary, 'cache-control': 'private, no-store' },
    })
  }
  t.end()
})
