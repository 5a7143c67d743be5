import { parseDatabaseUrl } from '../database/database-url.ts'
import { editDistance } from './edit-distance.ts'
import { isLoopback } from './loopback.ts'
import { SETTINGS } from './settings.ts'

/** The settings, parsed, validated and frozen. */
export type Config = Readonly<{ [Key in keyof typeof SETTINGS]: ReturnType<(typeof SETTINGS)[Key]['parse']> }>

type Environment = Record<string, string | undefined>

/** Thrown with all invalid settings at once, one per line. */
export class ConfigError extends Error {
  override name = 'ConfigError'
}

/**
 * Reads the settings from environment variables. Trims blanks and line ends, which mounted secrets have; an empty variable counts
 * as unset. Throws one ConfigError that lists every invalid setting.
 */
export function readConfig(environment: Environment): Config {
  const faults: string[] = []
  const values: Record<string, unknown> = {}
  for (const [key, { variable, fallback, parse }] of Object.entries(SETTINGS)) {
    try {
      values[key] = parse(readText(environment[variable]) || fallback)
    } catch (error) {
      faults.push(`${variable} ${(error as Error).message}`)
    }
  }
  const config = values as Config
  if (faults.length === 0) faults.push(...contradictions(config))
  if (faults.length > 0) throw new ConfigError(faults.join('\n'))
  return Object.freeze(config)
}

/** Returns what looks wrong but does not prevent the start: variables that resemble a setting, and URL parameters without an effect. */
export function configWarnings(environment: Environment, { databaseUrl, readDatabaseUrls }: Config): string[] {
  const similar = Object.keys(environment).map((name) => [name, suggestSetting(name)])
  const unusedOf = (variable: string, urls: readonly string[]) => {
    const unused = new Set(urls.flatMap((url) => parseDatabaseUrl(url).unused))
    return unused.size > 0 ? [`${variable} has parameters without an effect: ${[...unused].join(', ')}`] : []
  }
  return [
    ...similar.filter(([, meant]) => meant).map(([name, meant]) => `${name} is not a setting; did you mean ${meant}?`),
    ...unusedOf('DATABASE_URL', databaseUrl === '' ? [] : [databaseUrl]),
    ...unusedOf('READ_DATABASE_URL', readDatabaseUrls),
  ]
}

/** Returns the setting that an unknown variable differs from by one or two letters. Skips short names: too many words are close. */
function suggestSetting(name: string): string | undefined {
  const variables = Object.values(SETTINGS).map(({ variable }) => variable)
  if (name.length < 7 || variables.includes(name)) return undefined
  return variables.find((variable) => variable.length >= 7 && editDistance(name.toUpperCase(), variable) <= 2)
}

/** Node decodes bytes that are not UTF-8 as U+FFFD, so a password or path with such a byte would silently change. */
function readText(value = ''): string {
  if (value.includes('\ufffd')) throw new Error('is not UTF-8')
  return value.trim()
}

/** Whether requests need a key. Otherwise everything is open, on this machine only. */
export const asksForKeys = ({ apiKeys, apiKeysFile }: Config): boolean => apiKeys.length > 0 || apiKeysFile !== ''

function contradictions(config: Config): string[] {
  const faults: string[] = []
  if (!asksForKeys(config) && !isLoopback(config.host)) {
    faults.push(`HOST ${config.host} can be reached from outside, so API_KEYS or API_KEYS_FILE must be set`)
  }
  if (config.exportConcurrency > config.databaseConnections - 3) {
    faults.push('EXPORT_CONCURRENCY must leave 3 of DATABASE_CONNECTIONS to other requests')
  }
  if (config.readDatabaseUrls.length > 0 && config.databaseUrl === '') {
    faults.push('READ_DATABASE_URL needs DATABASE_URL: the embedded PostgreSQL has no standbys')
  }
  return faults
}

/** The current settings by variable, for the log. A secret shows only as set or unset. */
export function shownSettings(config: Config): Record<string, unknown> {
  const shown = Object.entries(SETTINGS).map(([key, { variable, secret }]) => {
    const value = config[key as keyof Config]
    return [variable, secret ? (value.toString() === '' ? 'unset' : 'set') : value]
  })
  return Object.fromEntries(shown)
}

/** The table of settings in docs/configuration.md, in Markdown. */
export function settingsTable(): string {
  const rows = Object.values(SETTINGS).map(({ variable, fallback, unit, description }) => {
    const shown = variable === 'MAX_WORKERS' ? 'cores' : fallback === '' ? 'unset' : `\`${fallback}\``
    return `| \`${variable}\` | ${shown} | ${unit} | ${description} |`
  })
  return ['| setting | default | unit | what it does |', '| --- | --- | --- | --- |', ...rows].join('\n')
}
