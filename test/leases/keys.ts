import { apiKeys } from '../http/keys.ts'

/** The keys of callers of leases, with and without logins. */
export const API_KEYS = apiKeys({
  lessee: 'users:lease+credentials:read',
  nameless: 'users:lease',
  shop: 'users:lease@shop+credentials:read@shop',
  root: 'admin',
  reader: 'users:read',
})
