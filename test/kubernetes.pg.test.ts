import { readdir, readFile } from 'node:fs/promises'
import { parse } from 'yaml'
import { type Config, type ConfigError, readConfig, shownSettings } from '../src/config/config.ts'
import { sharedService } from './http/shared-service.ts'
import { suite } from './suite.ts'

const t = suite()

/* The manifests in `kubernetes/` refer only to existing settings, routes and limits. */

const read = (path: string) => readFile(new URL(`../${path}`, import.meta.url), 'utf8')
const manifest = async (name: string) => parse(await read(`kubernetes/${name}.yaml`))

interface Probe {
  httpGet: { path: string; port: string }
}

const settings: Record<string, string> = (await manifest('configmap')).data
const example: { metadata: { name: string }; stringData: Record<string, string> } = await manifest('secret.example')
const deployment = await manifest('deployment')
const { spec: pod, metadata } = deployment.spec.template
const [container] = pod.containers
const secrets: { name: string; valueFrom: { secretKeyRef: { name: string; key: string } } }[] = container.env

/** What the image sets (Dockerfile). */
const image = Object.fromEntries(
  (/^ENV (.+)$/m.exec(await read('Dockerfile'))?.[1] ?? '').split(' ').map((text) => text.split('=')),
)

/** Secrets of the correct format, in place of those of a cluster. */
const environment = {
  ...image,
  ...settings,
  DATABASE_URL: 'postgres://usersync:secret@postgres:5432/usersync',
  ENCRYPTION_KEY: 'e1'.repeat(32),
  API_KEYS: `ci=users:read=${'s'.repeat(32)}`,
}
const config = readConfig(environment)

t.test('each variable in the manifests is a setting, and their values are valid', (t) => {
  const known = Object.keys(shownSettings(readConfig({})))
  for (const name of [...Object.keys(settings), ...secrets.map(({ name }) => name)]) t.ok(known.includes(name), name)
  t.same(
    container.envFrom.map((source: object) => Object.keys(source)),
    [['configMapRef']],
  )
  t.end()
})

t.test('secrets come from a Secret, and the example Secret contains no valid value', (t) => {
  const shown = shownSettings(config)
  const names = Object.keys(shown).filter((name) => shown[name] === 'set')
  t.same(secrets.map(({ name }) => name).sort(), names.sort())
  t.same(Object.keys(example.stringData).sort(), names)
  for (const { name, valueFrom, ...inline } of secrets) {
    t.same(valueFrom, { secretKeyRef: { name: example.metadata.name, key: name } })
    t.same(inline, {}, `${name} has no inline value`)
  }
  for (const name of names) t.notOk(name in settings, name)
  try {
    readConfig({ ...environment, ...example.stringData })
    t.fail('the example is accepted')
  } catch (error) {
    for (const name of names)
      t.match((error as ConfigError).message, new RegExp(`^${name} `, 'm'), `${name} is rejected`)
  }
  t.end()
})

t.test('probes and Prometheus use routes of the service, on its port', async (t) => {
  const service = await sharedService(t)
  const { startupProbe, livenessProbe, readinessProbe }: Record<string, Probe> = container
  const paths = { startupProbe: '/livez', livenessProbe: '/livez', readinessProbe: '/readyz' }
  t.match(
    { startupProbe, livenessProbe, readinessProbe },
    Object.fromEntries(Object.entries(paths).map(([probe, path]) => [probe, { httpGet: { path, port: 'http' } }])),
  )
  const { annotations } = metadata
  for (const path of [...Object.values(paths), annotations['prometheus.io/path']])
    t.equal((await service.call('GET', path)).status, 200, path)
  t.equal(annotations['prometheus.io/port'], String(config.port))
  t.same(container.ports, [{ name: 'http', containerPort: config.port }])
  const { ports, selector } = (await manifest('service')).spec
  t.equal(ports[0].targetPort, 'http')
  for (const labels of [selector, deployment.spec.selector.matchLabels]) t.match(metadata.labels, labels)
  t.same((await manifest('poddisruptionbudget')).spec.selector.matchLabels, selector)
})

/**
 * The steps of `stop` in src/service.ts after the requests are drained: export cache, worker threads, database
 * connections.
 */
const LAST_STEPS_SECONDS = 2 + 6 + 6

const maxStopSeconds = ({ drainDelaySeconds, drainSeconds }: Config) =>
  2 * drainDelaySeconds + drainSeconds + LAST_STEPS_SECONDS

t.test('a pod has enough time to drain, and enough memory and disk for the settings', (t) => {
  t.ok(config.drainDelaySeconds > 0, 'the endpoints are updated before the port closes')
  t.ok(pod.terminationGracePeriodSeconds > maxStopSeconds(config), 'the pod is not killed while it stops')
  t.ok(
    mebibytes(container.resources.limits.memory) > config.memoryLimitMb,
    'the service rejects work before the pod is killed for memory',
  )
  t.ok(mebibytes(pod.volumes[0].emptyDir.sizeLimit) > config.exportCacheMb, 'the cache fits into the volume')
  t.same(container.volumeMounts, [{ name: pod.volumes[0].name, mountPath: config.dataDir }])
  t.match(pod.securityContext, { runAsNonRoot: true })
  t.match(container.securityContext, { readOnlyRootFilesystem: true, allowPrivilegeEscalation: false })
  t.match(deployment.spec, { replicas: 2, strategy: { rollingUpdate: { maxUnavailable: 0 } } })
  t.end()
})

t.test('the kustomization lists every manifest except the example', async (t) => {
  const files = await readdir(new URL('../kubernetes', import.meta.url))
  const { resources, images } = await manifest('kustomization')
  const others = ['kustomization.yaml', 'secret.example.yaml']
  t.same([...resources].sort(), files.filter((name) => !others.includes(name)).sort())
  t.equal(images[0].name, container.image)
})

/** The MiB of a quantity such as 512Mi or 2Gi. */
function mebibytes(quantity: string): number {
  const [, amount, unit] = /^(\d+)(Mi|Gi)$/.exec(quantity) ?? []
  return Number(amount) * (unit === 'Gi' ? 1024 : 1)
}
