import { call } from './api.js'
import { useLive } from './live.js'

/** @type {Promise<any> | undefined} */
let read

/**
 * The service's description of itself (OpenAPI), read once for each tab: it names what a member may be, so the page does not.
 *
 * @returns {any} Undefined until it is there.
 */
export function useDescription() {
  const once = () =>
    (read ??= call('GET', 'openapi.json', { pool: null }).catch((error) => {
      read = undefined
      throw error
    }))
  return useLive(once, []).data
}

/** The members of a named schema. @param {any} description @param {string} schema @returns {Record<string, any>} */
export const membersOf = (description, schema) => description?.components.schemas[schema].properties ?? {}

/** The schema of a parameter of a GET route. */
export const parameterOf = (
  /** @type {any} */ description,
  /** @type {string} */ path,
  /** @type {string} */ parameter,
) => description?.paths[path].get.parameters.find((/** @type {any} */ { name }) => name === parameter).schema

/** @param {string[]} values @param {string} [first] The text of an empty choice before them. */
export const optionsOf = (values = [], first) => [
  ...(first === undefined ? [] : [{ value: '', text: first }]),
  ...values.map((value) => ({ value, text: value })),
]
