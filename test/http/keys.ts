/* The API keys of a service that several test files share. */

export const SCOPES: Record<string, string> = {
  root: 'admin',
  reader: 'users:read',
  maker: 'users:write',
  writer: 'users:read+users:write',
  lessee: 'users:lease',
  teller: 'credentials:read',
  logins: 'users:read+credentials:read',
  both: 'users:read+users:write@shop',
  shopkeeper: 'users:read@shop+users:write@shop',
  'shop-reader': 'users:read@shop',
  'shop-writer': 'users:read@shop+users:write@shop+users:read@tester',
  'shop-lessee': 'users:lease@shop+credentials:read@shop',
}

export const secretOf = (name: string) => `${name}-s3cret-of-32-characters-or-more`

/** The headers of a request with this key. */
export const as = (name: string) => ({ authorization: `Bearer ${secretOf(name)}` })

/** The setting that gives a service a key for each of these names. */
export const apiKeys = (scopes: Record<string, string>) =>
  Object.entries(scopes)
    .map(([name, each]) => `${name}=${each}=${secretOf(name)}`)
    .join(',')

/** For `sharedService`: files with these keys share one service. */
export const WITH_KEYS = { API_KEYS: apiKeys(SCOPES) }
