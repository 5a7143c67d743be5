import type { Static } from 'typebox'
import { isLoopback } from '../config/loopback.ts'
import { withoutBrackets } from '../config/url.ts'
import { type FieldError, invalidRequest, Problem } from '../errors.ts'
import { schemaReader } from '../http/field-errors.ts'
import { type Canary, isAllowedUrl, readCanary } from './canary/canary-settings.ts'
import type { Limits } from './kinds/kind.ts'
import { isSink, kindOf, type SinkKind } from './kinds/kinds.ts'
import { receiverUrl, type TargetBody, type TargetChangeBody } from './target-schema.ts'
import type { Target, TargetSettings } from './targets.ts'

/* What the members of a request mean for a target of each kind. All faults of a request are found at once. */

type Body = Static<typeof TargetBody>
type ChangeBody = Static<typeof TargetChangeBody>

/** Returns the settings of a new target. Throws `invalid_request` with all faults. */
export function newSettings(body: Body, pool: string, targetHosts: string[]): TargetSettings {
  const { kind = 'usersync' } = body
  if (!isSink(kind)) {
    requireMembers(body, kind)
    const { url, key, remote_pool: remotePool = pool, interval_seconds: intervalSeconds = null } = body
    const settings = { kind, url: receiverUrl(url), key: key ?? undefined, remotePool, intervalSeconds }
    return { ...settings, filter: filterOf(body.filter), mapping: null, limits: NO_LIMITS, canary: null }
  }
  const faults = memberFaults(body, kind)
  const address = addressOf(kind, body, targetHosts, faults)
  const mapping = mappingOf(kind, hasPresets(kind) ? body : { mapping: {}, ...body }, faults)
  const canary = canaryOf(kind, body, targetHosts, faults)
  if (mapping === undefined && body.mapping === undefined && body.preset === undefined) {
    const message = 'or body.preset is required for a target of this kind'
    faults.push({ path: 'body.mapping', code: 'missing_member', message })
  }
  if (faults.length > 0) throw invalidRequest(faults)
  return {
    kind,
    url: address.url,
    key: address.key,
    remotePool: pool,
    filter: filterOf(body.filter),
    mapping: mapping ?? null,
    limits: { ...kindOf(kind).limits, ...body.limits },
    canary: canary ?? null,
    intervalSeconds: body.interval_seconds ?? null,
  }
}

/** Returns the settings that a request changes. Throws `invalid_request` with all faults. */
export function changedSettings(body: ChangeBody, target: Target, targetHosts: string[]): Partial<TargetSettings> {
  const { kind } = target
  const { url, key, filter, remote_pool: remotePool, interval_seconds: intervalSeconds, limits } = body
  const change = {
    ...(key !== undefined && { key: key ?? undefined }),
    ...(filter && { filter: filterOf(filter) }),
    ...(intervalSeconds !== undefined && { intervalSeconds }),
  }
  if (!isSink(kind)) {
    requireMembers(body, kind)
    return {
      ...change,
      ...(url !== undefined && { url: receiverUrl(url) }),
      ...(remotePool !== undefined && { remotePool }),
    }
  }
  const faults = memberFaults(body, kind)
  const address =
    url === undefined ? {} : addressOf(kind, { url, ...(key !== undefined && { key }) }, targetHosts, faults)
  const mapping = mappingOf(kind, body, faults)
  const canary = canaryOf(kind, body, targetHosts, faults)
  if (faults.length > 0) throw invalidRequest(faults)
  return {
    ...change,
    ...address,
    ...(mapping && { mapping }),
    ...(limits && { limits: { ...target.limits, ...limits } }),
    ...(canary !== undefined && { canary }),
  }
}

/**
 * Throws `invalid_request` for a target that is its own source, which would always be in step: its pool is the one that is pushed, and its
 * url has the `origin` of this service, as the request names it.
 */
export function requireOtherPool(
  { kind, url, remotePool }: Pick<Target, 'kind' | 'url' | 'remotePool'>,
  pool: string,
  origin: string,
): void {
  if (isSink(kind) || remotePool !== pool || !isSameAddress(URL.parse(url), URL.parse(origin))) return
  const message = `is the pool that is pushed, and body.url is this service itself. Name another pool there, or the url of another service`
  throw invalidRequest([{ path: 'body.remote_pool', code: 'own_pool', message }])
}

/** A path before `/v1` leads to another service, since a proxy may serve several at one origin. */
function isSameAddress(a: URL | null, b: URL | null): boolean {
  if (!a || !b || a.pathname !== b.pathname) return false
  const isSameHost = a.hostname === b.hostname || [a, b].every(({ hostname }) => isLoopback(withoutBrackets(hostname)))
  return isSameHost && a.protocol === b.protocol && a.port === b.port
}

/** A target that is pushed to has none. */
export const NO_LIMITS: Limits = { batch: 0, concurrency: 0, per_second: null }

/** A key that can be sent in an HTTP header. */
const HEADER_VALUE = /^[\x21-\x7e]*$/

/** Members of the other kinds, and members that this kind does not take. */
function memberFaults(body: Partial<Body> & ChangeBody, kind: Target['kind']): FieldError[] {
  const others = isSink(kind) ? (['remote_pool'] as const) : (['mapping', 'preset', 'limits', 'canary'] as const)
  const faults = others
    .filter((name) => body[name] !== undefined)
    .map((name) => ({ path: `body.${name}`, code: 'unknown_member', message: `is not for targets of kind ${kind}` }))
  const hasHeaderKey = !isSink(kind) || kindOf(kind).hasHeaderKey
  if (hasHeaderKey && !HEADER_VALUE.test(body.key ?? '')) {
    faults.push({ path: 'body.key', code: 'format', message: 'expects ASCII characters, without spaces' })
  }
  if (isSink(kind) && body.filter?.test_users_only === false) {
    const message = 'must be true: only test users go into a system under test'
    faults.push({ path: 'body.filter.test_users_only', code: 'invalid', message })
  }
  return faults
}

function requireMembers(body: Partial<Body> & ChangeBody, kind: Target['kind']): void {
  const faults = memberFaults(body, kind)
  if (faults.length > 0) throw invalidRequest(faults)
}

/** The URL without its password, and the key, which is that password if it is not given by itself. */
function addressOf(
  kind: SinkKind,
  { url: text, key }: Pick<ChangeBody, 'key'> & { url: string },
  targetHosts: string[],
  faults: FieldError[],
): Pick<TargetSettings, 'url'> & { key?: string | undefined } {
  const read = kindOf(kind).readUrl(text)
  if (Array.isArray(read)) {
    faults.push(...read)
    return { url: '' }
  }
  if (read.key !== undefined && key !== undefined && key !== null) {
    faults.push({ path: 'body.key', code: 'invalid', message: 'and the password in body.url are both given' })
  }
  if (!areAllowed(read.hosts, targetHosts)) {
    const message = 'names a host that is neither loopback nor listed in the setting TARGET_HOSTS'
    faults.push({ path: 'body.url', code: 'host_not_allowed', message })
  }
  const secret = read.key ?? key
  return { url: read.url, ...(secret !== undefined && { key: secret ?? undefined }) }
}

const areAllowed = (hosts: string[], targetHosts: string[]) =>
  hosts.every((host) => isLoopback(host) || targetHosts.includes(host.toLowerCase()))

/** Whether the service may connect to a sink and its canary. The setting may have changed since the target was created. */
export function isReachable(
  { kind, url, canary }: Pick<Target, 'kind' | 'url' | 'canary'>,
  targetHosts: string[],
): boolean {
  if (!isSink(kind)) return true
  const read = kindOf(kind).readUrl(url)
  const isAllowed = (host: string) => areAllowed([host], targetHosts)
  if (canary && 'url' in canary && !isAllowedUrl(canary.url, isAllowed)) return false
  return !Array.isArray(read) && read.hosts.every(isAllowed)
}

/** The canary of a request. Undefined: it has none, or a faulty one. */
function canaryOf(
  kind: SinkKind,
  { canary }: Pick<ChangeBody, 'canary'>,
  targetHosts: string[],
  faults: FieldError[],
): Canary | null | undefined {
  if (canary === undefined || canary === null) return canary
  return readCanary(canary, kind, (host) => areAllowed([host], targetHosts), faults)
}

/** A kind without presets has settings instead, which may all have defaults. */
const hasPresets = (kind: SinkKind) => Object.keys(kindOf(kind).presets).length > 0

/** The mapping of a request: its own, a built-in one, or a built-in one with members that it leaves open. */
function mappingOf(
  kind: SinkKind,
  { mapping, preset }: Pick<ChangeBody, 'mapping' | 'preset'>,
  faults: FieldError[],
): object | undefined {
  const { presets, mappingSchema, mappingFaults } = kindOf(kind)
  if (mapping === undefined && preset === undefined) return undefined
  if (preset !== undefined && !Object.hasOwn(presets, preset)) {
    const known = Object.keys(presets).join(', ') || 'none for this kind'
    faults.push({ path: 'body.preset', code: 'invalid', message: `is not known. Known: ${known}.` })
    return undefined
  }
  const builtIn: object = preset === undefined ? {} : (presets[preset] ?? {})
  const both = Object.keys(mapping ?? {}).find((member) => Object.hasOwn(builtIn, member))
  if (both !== undefined) {
    const message = `and body.mapping.${both} are both given, but the preset has that member`
    faults.push({ path: 'body.preset', code: 'invalid', message })
    return undefined
  }
  const whole = { ...builtIn, ...mapping }
  try {
    schemaReader(mappingSchema, 'body.mapping')(whole)
    faults.push(...mappingFaults(whole))
  } catch (error) {
    if (!(error instanceof Problem) || !error.errors) throw error
    faults.push(...error.errors)
  }
  return whole
}

const filterOf = (filter: Body['filter'] = {}): Target['filter'] => ({
  batchId: filter.batch_id?.toLowerCase(),
  testUsersOnly: filter.test_users_only ?? true,
  bulkUsersOnly: filter.bulk_users_only ?? false,
})
