import { compilePopulation, type Population, type PopulationSettings } from '../../src/generators/compile-population.ts'

const DEFAULTS: PopulationSettings = {
  role: 'user',
  custom_attributes: {},
  username_pattern: 'u{n}',
  locale: 'en',
  seed: 'a seed',
  count: 1000,
  maxAttributesBytes: 65_536,
}

/** Compiles settings, of which the given ones differ from defaults. */
export const compile = (settings: Partial<PopulationSettings>) => compilePopulation({ ...DEFAULTS, ...settings })

/** Compiles settings that are valid. Throws their faults otherwise. */
export function populationOf(settings: Partial<PopulationSettings>): Population {
  const population = compile(settings)
  if ('faults' in population) throw new Error(JSON.stringify(population.faults))
  return population
}

/** The faults of settings as `path: message`, none if they are valid. */
export function faultsOf(settings: Partial<PopulationSettings>): string[] {
  const result = compile(settings)
  return 'faults' in result ? result.faults.map(({ path, message }) => `${path} ${message}`) : []
}

/** The values of one attribute, for users 1 to `count`. */
export function valuesOf(generator: unknown, count: number, settings: Partial<PopulationSettings> = {}): unknown[] {
  const population = populationOf({ ...settings, count, custom_attributes: { value: generator } })
  return Array.from({ length: count }, (_, index) => JSON.parse(population.attributesJson(index + 1)).value)
}
