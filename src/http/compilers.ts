import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import fastJsonStringify from 'fast-json-stringify'
import type { FastifyInstance } from 'fastify'
import plugin from 'fastify-plugin'
import { AJV_OPTIONS } from './field-errors.ts'

/**
 * Compiles each schema when the first request needs it. Fastify compiles all of them at the start, which takes 0.25 s of CPU time and
 * 25 MiB. Most are of error responses, which are written by `JSON.stringify` and need no serializer.
 */
export const compilers = plugin(
  (app: FastifyInstance, _options, done) => {
    const bodies = new Ajv({ ...AJV_OPTIONS, coerceTypes: false })
    const texts = new Ajv({ ...AJV_OPTIONS, coerceTypes: true })
    app.setValidatorCompiler(({ schema, httpPart }) => {
      let compiled: ValidateFunction | undefined
      const validate = (value: unknown) => {
        compiled ??= (httpPart === 'body' ? bodies : texts).compile(schema as object)
        const isValid = compiled(value)
        validate.errors = compiled.errors ?? null
        return isValid
      }
      validate.errors = null as ErrorObject[] | null
      return validate
    })
    app.setSerializerCompiler(({ schema }) => {
      let compiled: ((value: unknown) => string) | undefined
      return (value) => {
        compiled ??= fastJsonStringify(schema)
        return compiled(value)
      }
    })
    done()
  },
  { name: 'compilers' },
)
