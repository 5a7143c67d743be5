/** A valid body for each route, unless it is `{ role: 'x' }`. What it refers to need not exist. */
export const ROUTE_BODIES: Record<string, object> = {
  '/v1/pools': { name: 'made' },
  '/v1/pools/{name}': { replica: 'test_users' },
  '/v1/batches': { count: 1 },
  '/v1/batches/preview': { count: 1 },
  '/v1/templates': { name: 'made', config: {} },
  '/v1/templates/{name}': { config: {} },
  '/v1/templates/validate': { config: {} },
  '/v1/templates/import': { templates: [] },
  '/v1/targets': { name: 'made', url: 'http://127.0.0.1:9' },
  '/v1/targets/{name}': { interval_seconds: 60 },
  '/v1/lifecycle/expire': { dry_run: true },
  '/v1/sync': { target: 'nothing' },
  '/v1/sync/verify': { target: 'nothing' },
}
