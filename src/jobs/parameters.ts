import { UUID_FORM } from '../http/schemas.ts'
import { isTime } from '../import/row.ts'

/** Thrown where a job is called in a wrong way. The message says what there is. */
export class JobUsageError extends Error {
  override name = 'JobUsageError'
}

/** The value of a parameter as the record holds it: JSON that reads back as the same value. */
export type ParameterValue = string | number | boolean | string[]

export interface ParameterType {
  /** As it is shown in the usage. */
  form: string
  /** Gives the value of a text in one spelling; undefined where the text is none. */
  parse: (text: string) => ParameterValue | undefined
}

const matching = (form: string, pattern: RegExp): ParameterType => ({
  form,
  parse: (text) => (pattern.test(text) ? text : undefined),
})

/** The types that parameters may have. */
export const TYPES = {
  text: matching('TEXT', /^[\x20-\x7e]{1,200}$/),
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
  timestamp: {
    form: 'YYYY-MM-DDThh:mm:ssZ',
    parse: (text) => (isTime(text) ? inUtc(text.toUpperCase()) : undefined),
  },
  uuid: {
    form: 'UUID',
    parse: (text) => (UUID_FORM.test(text) ? text.toLowerCase() : undefined),
  },
  list: {
    form: 'TEXT,TEXT,…',
    parse: (text) => (/^[\x20-\x7e]{1,2000}$/.test(text) ? text.split(',') : undefined),
  },
} satisfies Record<string, ParameterType>

/** A time in its one spelling. Its fraction stays text: JavaScript keeps three digits of it, and PostgreSQL six. */
function inUtc(time: string): string {
  const [, whole = '', fraction = '', zone = ''] = /^(.*?)(?:\.(\d+))?(Z|[+-].{5})$/.exec(time) ?? []
  const digits = fraction.replace(/0+$/, '')
  return `${new Date(`${whole}${zone}`).toISOString().slice(0, 19)}${digits && `.${digits}`}Z`
}

/** What a job takes: each parameter by its type, and whether it must be given. */
export type Parameters = Record<string, { type: keyof typeof TYPES; isRequired?: true; description: string }>

/**
 * Reads `--name value` pairs as the parameters of a job; gives them in the order of their names, so that the same ones are
 * the same text. Throws JobUsageError that names what is wrong, and what there is.
 */
export function readParameters(known: Parameters, args: string[]): Record<string, ParameterValue> {
  const values = new Map<string, ParameterValue>()
  for (let i = 0; i < args.length; i += 2) {
    const [option = '', text] = args.slice(i, i + 2)
    const name = /^--([a-z][a-z-]*)$/.exec(option)?.[1]?.replaceAll('-', '_')
    const parameter = name === undefined ? undefined : known[name]
    if (name === undefined || !parameter) throw new JobUsageError(`there is no parameter ${option}: ${listOf(known)}`)
    if (values.has(name)) throw new JobUsageError(`${option} is given twice`)
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

/** The parameters as the usage lists them. */
export const listOf = (known: Parameters): string =>
  Object.entries(known)
    .map(([name, { type, isRequired }]) => {
      const text = `${optionOf(name)} ${TYPES[type].form}`
      return isRequired ? text : `[${text}]`
    })
    .join(' ')
