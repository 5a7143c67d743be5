import { AsyncLocalStorage } from 'node:async_hooks'

/** Headers for the requests to other services that are sent within a span: they tell the receiver whose child its span is. */
export const outgoingHeaders = new AsyncLocalStorage<Record<string, string>>()
