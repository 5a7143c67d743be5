import type { FastifyBaseLogger } from 'fastify'
import type { Bindings, ChildLoggerOptions, Level, Logger } from 'pino'

/**
 * The log of a request: these bindings stand on each of its lines. pino's child logger is made with the first line that is
 * written; most requests of a busy service, unchanged exports, write none, and one for each was 4 % of what they cost.
 */
export class RequestLogger implements FastifyBaseLogger {
  readonly #log: Logger
  readonly #bindings: Bindings
  #child: Logger | undefined

  constructor(log: Logger, bindings: Bindings) {
    this.#log = log
    this.#bindings = bindings
  }

  get level() {
    return this.#log.level
  }

  child(bindings: Bindings, options?: ChildLoggerOptions): FastifyBaseLogger {
    return this.#made().child(bindings, options)
  }

  fatal(...line: unknown[]) {
    this.#write('fatal', line)
  }

  error(...line: unknown[]) {
    this.#write('error', line)
  }

  warn(...line: unknown[]) {
    this.#write('warn', line)
  }

  info(...line: unknown[]) {
    this.#write('info', line)
  }

  debug(...line: unknown[]) {
    this.#write('debug', line)
  }

  trace(...line: unknown[]) {
    this.#write('trace', line)
  }

  silent() {}

  #write(level: Level, line: unknown[]) {
    if (this.#log.isLevelEnabled(level)) this.#made()[level](...(line as [string]))
  }

  #made() {
    this.#child ??= this.#log.child(this.#bindings)
    return this.#child
  }
}
