import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import fastJsonStringify from 'fast-json-stringify'
import type { FastifyInstance } from 'fastify'
import plugin from 'fastify-plugin'
import { AJV_OPTIONS } from './field-errors.ts'

const bodies = new Ajv({ ...AJV_OPTIONS, coerceTypes: false })
const texts = new Ajv({ ...AJV_OPTIONS, coerceTypes: true })
const compileBody = once((schema) => bodies.compile(schema))
const compileTexts = once((schema) => texts.compile(schema))
const compileSerializer = once((schema) => fastJsonStringify(schema))

/**
 * Compiles each schema when the first request needs it, and equal schemas once. Fastify compiles all of them at the start, which takes
 * 0.25 s of CPU time and 25 MiB. Most are of error responses, which are written by `JSON.stringify` and need no serializer.
 */
export const compilers = plugin(
  (app: FastifyInstance, _options, done) => {
    app.setValidatorCompiler(({ schema, httpPart }) => {
      let compiled: ValidateFunction | undefined
      const validate = (value: unknown) => {
        compiled ??= (httpPart === 'body' ? compileBody : compileTexts)(schema as object)
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
        compiled ??= compileSerializer(schema)
        return compiled(value)
      }
    })
    done()
  },
  { name: 'compilers' },
)

/** Remembers what a schema was compiled to: a batch is in the responses of several routes, and takes 20 ms. */
function once<Compiled>(compile: (schema: object) => Compiled): (schema: object) => Compiled {
  const known = new Map<string, Compiled>()
  return (schema) => {
    const text = JSON.stringify(schema)
    const compiled = known.get(text) ?? compile(schema)
    known.set(text, compiled)
    return compiled
  }
}
