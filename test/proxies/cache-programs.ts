import type { Test } from 'tap'
import { NO_NGINX, startNginx } from './nginx.ts'
import { NO_VARNISH, startVarnish } from './varnish.ts'

export interface Cache {
  name: string
  skip: string | false
  /** Starts the cache in front of a service. What lasts for 1 or 100 s lasts for days, or `briefly`, for a second: no test waits for less. */
  start(t: Test, service: string, lasts?: 'days' | 'briefly'): Promise<{ url: string }>
}

/** The documented caches. */
export const CACHES: Cache[] = [
  {
    name: 'nginx',
    skip: NO_NGINX,
    start: (t, service, lasts = 'days') =>
      startNginx(t, {
        file: 'nginx-cache.conf',
        replace: {
          'server 127.0.0.1:3000 ': `server ${new URL(service).host} `,
          '/run/nginx-usersync': 'cache',
          'proxy_cache_valid 404 1s': 'proxy_cache_valid 404 100s',
          '(?<hundred>\\d+)\\d\\d\\.':
            lasts === 'days' ? '(?<hundred>\\d+)\\d\\d\\d\\d\\d\\d\\.' : '(?<hundred>\\d+)\\.',
        },
      }),
  },
  {
    name: 'varnish',
    skip: NO_VARNISH,
    start: (t, service, lasts = 'days') =>
      startVarnish(t, service, {
        'set beresp.ttl = 1s;\n  } elsif': 'set beresp.ttl = 100s;\n  } elsif',
        'ttl = 100s': lasts === 'days' ? 'ttl = 1d' : 'ttl = 1s',
      }),
  },
]
