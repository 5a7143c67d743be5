import type { Test } from 'tap'
import { NO_NGINX, startNginx } from './nginx.ts'
import { NO_VARNISH, startVarnish } from './varnish.ts'

export interface Cache {
  name: string
  skip: string | false
  /** Starts the cache in front of a service. With `seconds`, what the page calls 100 s takes one. */
  start(t: Test, service: string, seconds?: 1): Promise<{ url: string }>
}

/** The documented caches. */
export const CACHES: Cache[] = [
  {
    name: 'nginx',
    skip: NO_NGINX,
    start: (t, service, seconds) =>
      startNginx(t, {
        file: 'nginx-cache.conf',
        replace: {
          'server 127.0.0.1:3000 ': `server ${new URL(service).host} `,
          '/run/nginx-usersync': 'cache',
          ...(seconds && { '(?<hundred>\\d+)\\d\\d\\.': '(?<hundred>\\d+)\\.' }),
        },
      }),
  },
  {
    name: 'varnish',
    skip: NO_VARNISH,
    start: (t, service, seconds) => startVarnish(t, service, seconds && { 'ttl = 100s': 'ttl = 1s' }),
  },
]
