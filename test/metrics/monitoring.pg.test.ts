import { readFile } from 'node:fs/promises'
import { Registry } from 'prom-client'
import { parse } from 'yaml'
import { createStandbyMetrics } from '../../src/telemetry/standby-metrics.ts'
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'
import { scrape } from './scrape.ts'

const t = suite()

/* The files in `monitoring/` are valid and refer only to existing metrics and routes. */

const read = (path: string) => readFile(new URL(`../../${path}`, import.meta.url), 'utf8')

const alerts: { groups: { rules: { alert: string; expr: string; annotations: { summary: string } }[] }[] } = parse(
  await read('monitoring/alerts.yml'),
)
const rules = alerts.groups.flatMap((group) => group.rules)
const dashboard: { panels: { title: string; targets: { expr: string }[] }[]; templating: object } = JSON.parse(
  await read('monitoring/dashboard.json'),
)

/** The metrics that a service has only with READ_DATABASE_URL. */
function standbyMetrics(): Promise<string> {
  const registry = new Registry()
  createStandbyMetrics(registry).watch({ status: () => [] })
  return registry.metrics()
}

t.test('the service exposes every metric used by the alerts and the dashboard', async (t) => {
  const service = await sharedService(t)
  const { text } = await scrape(service)
  const exposed = new Set<string>()
  for (const [, name = '', type = ''] of `${text}${await standbyMetrics()}`.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
    for (const end of type === 'histogram' ? ['_bucket', '_sum', '_count'] : ['']) exposed.add(name + end)
  }
  const expressions = [
    ...rules.map(({ alert, expr }) => [alert, expr]),
    ...dashboard.panels.flatMap(({ title, targets }) => targets.map(({ expr }) => [title, expr])),
    ['variables', JSON.stringify(dashboard.templating)],
  ]
  for (const [place = '', expression = ''] of expressions) {
    const named = expression.match(/\b(usersync|process|nodejs)_\w+/g) ?? []
    t.ok(named.length > 0 || place === 'UsersyncDown', place)
    for (const name of named) t.ok(exposed.has(name), `${place}: ${name}`)
  }
  t.notMatch(dashboard.panels.map(({ title }) => title).join(), /undefined/)

  const { json } = await service.call<{ paths: Record<string, object> }>('GET', '/openapi.json')
  const paths = Object.keys(json.paths).map((path) => path.replace(/\{(\w+)\}/g, ':$1'))
  const routes = rules.flatMap(({ expr }) => /route!~"([^"]+)"/.exec(expr)?.[1]?.split('|') ?? [])
  t.ok(routes.length > 0)
  for (const route of routes) t.ok(paths.includes(route), route)
})

t.test('the alerts have the documented thresholds, and each summary states its own', (t) => {
  const thresholds = {
    UsersyncCreationFailures: ['0.05', '5 %'],
    UsersyncSyncFailures: ['0.10', '10 %'],
    UsersyncCleanupFailures: ['0.02', '2 %'],
    UsersyncLeasesExhausted: ['0.05', '5 %'],
    UsersyncStandbyPassedOver: ['0.50', '50 %', '<'],
    UsersyncExportsAtPrimary: ['0.50', '50 %'],
    UsersyncSlow: ['5.0', '5 s'],
    UsersyncMemory: ['0.80', '80 %'],
    UsersyncCpu: ['0.70', '70 %'],
    UsersyncDisk: ['0.85', '85 %'],
    UsersyncDatabaseConnections: ['15', '15'],
  }
  for (const [name, [threshold, percentage, relation = '>']] of Object.entries(thresholds)) {
    const rule = rules.find(({ alert }) => alert === name)
    t.ok(rule?.expr.includes(`${relation} ${threshold}`), `${name}: ${rule?.expr}`)
    t.ok(rule?.annotations.summary.includes(`(${percentage})`), name)
  }
  t.end()
})

t.test('Compose starts both with these files, with pinned images, and only under their profile', async (t) => {
  const { services }: { services: Record<string, { image: string; profiles?: string[]; volumes: string[] }> } = parse(
    await read('docker-compose.yml'),
    { merge: true },
  )
  const { scrape_configs: jobs }: { scrape_configs: { static_configs: { targets: string[] }[] }[] } = parse(
    await read('monitoring/prometheus.yml'),
  )
  for (const target of jobs.flatMap((job) => job.static_configs.flatMap(({ targets }) => targets))) {
    t.ok(services[target.replace(':3000', '')], target)
  }
  for (const name of ['prometheus', 'grafana']) {
    t.match(services[name], { image: /:v?\d+\.\d+\.\d+$/, profiles: ['monitoring'] }, name)
    for (const volume of services[name]?.volumes ?? []) {
      const [source = ''] = volume.split(':')
      if (source.endsWith('.yml') || source.endsWith('.json')) t.ok(await read(source), source)
    }
  }
  const source = parse(await read('monitoring/grafana/datasources/prometheus.yml'))
  t.match(source, { datasources: [{ uid: 'prometheus', url: 'http://prometheus:9090' }] })
  const dashboards = parse(await read('monitoring/grafana/dashboards/usersync.yml'))
  t.match(dashboards, { providers: [{ options: { path: '/etc/usersync/dashboards' } }] })
})
