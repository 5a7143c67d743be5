/** What a pool may be called. */
export const POOL_NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/
