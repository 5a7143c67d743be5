import { isTime } from '../protocol/time.ts'

/** Thrown if a job is called incorrectly. The message lists what is valid. */
export class JobUsageError extends Error {
  override name = 'JobUsageError'
}

/** The value of a parameter in the run's record: JSON that parses back to the same value. */
export type ParameterValue = string | number | boolean | string[]

export interface ParameterType {
  /** The placeholder in the usage text. */
  form: string
  /** Parses a text into a canonical value. Undefined if invalid. */
  parse: (text: string) => ParameterValue | undefined
}

const matching = (form: string, pattern: RegExp): ParameterType => ({
  form,
  parse: (text) => (pattern.test(text) ? text : undefined),
})

/** The types of parameters. */
export const TYPES = {
  text: matching('TEXT', /^[^\p{Cc}\p{Cs}]{1,200}$/u),
  integer: {
    form: 'N',
    parse: (text) => (/^-?\d{1,15}$/.test(text) ? Number(text) + 0 : undefined),
  },
  boolean: {
    form: 'true|false',
    parse: (text) => (text === 'true' ? true : text === 'false' ? false : undefined),
  },
  date: {
    form: 'YYYY-MM-DD',
    parse: (text) => (isTime(`${text}T00:00:00Z`) ? text : undefined),
  },
  list: {
    form: 'TEXT,TEXT,…',
    parse: (text) => (/^[^\p{Cc}\p{Cs}]{1,2000}$/u.test(text) ? text.split(',') : undefined),
  },
} satisfies Record<string, ParameterType>

/** The parameters of a job: the type of each, and whether it is required. */
export type Parameters = Record<string, { type: keyof typeof TYPES; isRequired?: true; description: string }>

/**
 * Parses `--name value` pairs into the parameters of a job, sorted by name, so that equal parameters have equal text. Throws
 * JobUsageError that says what is wrong and what is valid.
 */
export function readParameters(known: Parameters, args: string[]): Record<string, ParameterValue> {
  const values = new Map<string, ParameterValue>()
  for (let i = 0; i < args.length; i += 2) {
    const [option = '', text] = args.slice(i, i + 2)
    const name = /^--([a-z][a-z-]*)$/.exec(option)?.[1]?.replaceAll('-', '_')
    const parameter = name !== undefined && Object.hasOwn(known, name) ? known[name] : undefined
    if (name === undefined || !parameter) throw new JobUsageError(`there is no parameter ${option}: ${listOf(known)}`)
    if (values.has(name)) throw new JobUsageError(`${option} is set twice`)
    const { form, parse } = TYPES[parameter.type]
    const value = text === undefined ? undefined : parse(text)
    if (value === undefined) throw new JobUsageError(`${option} expects ${form}`)
    values.set(name, value)
  }
  for (const [name, { isRequired }] of Object.entries(known)) {
    if (isRequired && !values.has(name)) throw new JobUsageError(`${optionOf(name)} is missing`)
  }
  return Object.fromEntries([...values].sort(([a], [b]) => (a < b ? -1 : 1)))
}

const optionOf = (name: string) => `--${name.replaceAll('_', '-')}`

/** The parameters for the usage text. */
export const listOf = (known: Parameters): string =>
  Object.entries(known)
    .map(([name, { type, isRequired }]) => {
      const text = `${optionOf(name)} ${TYPES[type].form}`
      return isRequired ? text : `[${text}]`
    })
    .join(' ')
