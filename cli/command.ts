import type { Readable, Writable } from 'node:stream'
import type { Connection } from '../client/connection.ts'
import type { Client } from '../client/index.ts'
import type { Terminal } from '../src/pull/report.ts'

/** What a command may use of its process. */
export interface Program {
  env: NodeJS.ProcessEnv
  stdin: Readable & { isTTY?: boolean }
  stdout: Writable
  stderr: Terminal
  /** Ends the command when aborted with `Stopped`. */
  stop: AbortSignal
}

/** An option, such as `--label TEXT`. */
export interface Option {
  /** The placeholder of its value. Undefined: it has none, and is true or false. */
  value?: string
  description: string
  choices?: readonly string[]
  /** The value is the path of a file, for completion. */
  isFile?: boolean
}

export type Options = Record<string, Option>

/** The values of options, by name. */
export type Values<Of extends Options> = {
  [Name in keyof Of]?: Of[Name] extends { value: string } ? string : boolean
}

/** One call of a command. */
export interface Call<Of extends Options = Record<never, never>> {
  program: Program
  /** The values of the command's own options. */
  values: Values<Of>
  /** The arguments that are not options. For commands with `hasOwnParser`: all arguments. */
  args: string[]
  /** Whether data is printed as JSON, one value a line. */
  json: boolean
  /** The service that the options and the environment name. */
  client: Client
  connection: Connection
  url: string
  /** Prints text on stdout, as fast as it is read. */
  print(text: string): Promise<void>
  /** Rewrites the last line of stderr, if that is a terminal. */
  progress(text: string): void
  /** Prints a line on stderr. */
  note(text: string): void
  /** Says what goes on at the service if the command is interrupted from now on. Undefined: nothing does. */
  goesOn(text: string | undefined): void
}

/** A command, such as `usersync batch create`. */
export interface Command {
  summary: string
  /** The placeholders of its arguments, such as `COUNT`, and what they are. Those in brackets may be omitted. */
  args: Record<string, string>
  options: Options
  /** The options and arguments that the service knows by another name: by member of a request, such as `ttl_seconds`. */
  members: Record<string, string>
  /** Text below the options of the help. */
  details: string
  /** Whole command lines. */
  examples: readonly string[]
  /** It calls a service, so it takes the options of the connection. */
  isClient: boolean
  /** It reads its arguments itself. */
  hasOwnParser: boolean
  /** Returns the exit code; undefined is 0. */
  run(call: Call<Options>): Promise<number | undefined>
}

type Definition<Of extends Options> = Pick<Command, 'summary' | 'examples'> &
  Partial<Pick<Command, 'args' | 'members' | 'details' | 'hasOwnParser' | 'isClient'>> & {
    options?: Of
    run(call: Call<Of>): Promise<number | undefined>
  }

/** Defines a command that calls a service. */
export const clientCommand = <const Of extends Options = Record<never, never>>(definition: Definition<Of>): Command =>
  command({ isClient: true, ...definition })

/** Defines a command. */
export const command = <const Of extends Options = Record<never, never>>(definition: Definition<Of>): Command => ({
  ...{ args: {}, options: {}, members: {}, details: '', isClient: false, hasOwnParser: false },
  ...definition,
  run: definition.run as Command['run'], // its options were parsed by their definition
})
