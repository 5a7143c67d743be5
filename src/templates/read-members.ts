import { Ajv } from 'ajv'
import type { TSchema } from 'typebox'
import type { BatchConfigBody } from '../batches/batch-config.ts'
import { type MemberFault, MOST_FAULTS, Problem } from '../errors.ts'
import { memberFault } from '../http/error-answers.ts'

/** Where a request has the settings. */
export const PLACE = 'body.config'

/** Settings that cannot be taken as they are, told as any bad input is. */
export const invalidSettings = (errors: MemberFault[]) =>
  new Problem('invalid_request', errors.map(({ path, message }) => `${path} ${message}`).join('; '), { errors })

/** The schemas are the service's own: to hold them against JSON Schema's, which is compiled first, takes 0.1 s of each start. */
const ajv = new Ajv({ allErrors: true, verbose: true, strict: false, validateSchema: false })

/** Makes what reads a value as a request's `config` is read; it throws `invalid_request` with every faulty member. */
export function memberReader(schema: TSchema): (value: unknown) => BatchConfigBody {
  const validate = ajv.compile<BatchConfigBody>(schema)
  return (value) => {
    if (validate(value)) return value
    throw invalidSettings((validate.errors ?? []).slice(0, MOST_FAULTS).map((fault) => memberFault(fault, PLACE)))
  }
}
