import { parseArgs } from 'node:util'
import { UsersyncError, VERSION } from '../client/index.ts'
import { UsageError } from '../src/client/service-options.ts'
import { Stopped } from '../src/process/shutdown.ts'
import { createReport } from '../src/pull/report.ts'
import type { Call, Command, Options, Program } from './command.ts'
import { COMMANDS, GROUPS } from './commands.ts'
import { type Connected, connect, optionsOf } from './connection.ts'
import { DONE, exitCodeOf } from './exit-codes.ts'
import { faultText, mayHaveArrived } from './faults.ts'
import { helpOf } from './help.ts'
import { write } from './output.ts'

/** Runs `usersync` with these arguments. Returns its exit code, of EXIT_CODES. */
export async function run(argv: string[], program: Program): Promise<number> {
  const report = createReport(program.stderr)
  let goingOn: string | undefined
  let connected: Connected | undefined
  let command: Command | undefined
  try {
    if (argv[0] === '--version') {
      await write(program.stdout, `${VERSION}\n`)
      return DONE
    }
    const { name, rest } = nameIn(argv)
    command = COMMANDS[name]
    if (!command || isHelp(rest)) {
      const isNamed = /^[^-]/.test(rest[0] ?? '')
      if (!command && argv.length > 0 && (isNamed || !isHelp(rest))) throw unknownCommand(name, rest)
      await write(program.stdout, helpOf(name) ?? '')
      return DONE
    }
    const { values, args } = command.hasOwnParser ? { values: {}, args: rest } : parse(name, command, rest)
    if (command.isClient) connected = await connect(values, program, report.line)
    const call = {
      ...{ program, values, args, json: values['json'] === true, note: report.line, progress: report.progress },
      ...connected,
      print(text: string) {
        report.clear()
        return write(program.stdout, text)
      },
      goesOn(text: string | undefined) {
        goingOn = text
      },
    } as Call<Options>
    const code = await command.run(call)
    report.clear()
    return code ?? DONE
  } catch (error) {
    const { stop } = program
    if (stop.reason instanceof Stopped) {
      report.line(`usersync: ${stop.reason.message}${goingOn === undefined ? '' : `. ${goingOn}`}`)
      return stop.reason.exitCode
    }
    const fault = await explained(error, connected)
    report.line(`usersync: ${faultText(fault, connected, command)}`)
    if (goingOn !== undefined && mayHaveArrived(fault)) report.line(`usersync: ${goingOn}`)
    return exitCodeOf(fault)
  }
}

/**
 * A service of another version may not know a member of the request, and a web server that is no usersync may answer 200, or close
 * the connection before an upload ends. Returns that as the error, if it is the cause.
 */
async function explained(error: unknown, connected: Connected | undefined): Promise<unknown> {
  const isBroken = error instanceof UsersyncError && error.code === 'unreachable' && mayHaveArrived(error)
  const mayBeOther =
    isBroken || (error instanceof UsersyncError ? error.code === 'invalid_request' : error instanceof TypeError)
  if (!mayBeOther) return error
  try {
    await connected?.client.checkVersion()
  } catch (fault) {
    if (fault instanceof UsersyncError && ['version_mismatch', 'not_usersync'].includes(fault.code)) return fault
  }
  return error
}

/** Splits the arguments into the name of the command, of one or two words, and the rest. */
function nameIn([first = '', second = '', ...rest]: string[]): { name: string; rest: string[] } {
  const after = (words: string[]) => words.filter((word, i) => word !== '' || i > 0)
  if (first === 'help') {
    const { name, rest: others } = nameIn([second, ...rest])
    return { name, rest: [...others, '--help'] }
  }
  const has = Object.hasOwn
  if (has(GROUPS, first) && has(COMMANDS, `${first} ${second}`)) return { name: `${first} ${second}`, rest }
  if (has(GROUPS, first) || has(COMMANDS, first)) return { name: first, rest: after([second, ...rest]) }
  return { name: '', rest: after([first, second, ...rest]) }
}

/** What follows `--` belongs to psql. */
function isHelp(rest: string[]): boolean {
  const place = rest.findIndex((word) => word === '--help' || word === '-h')
  return place >= 0 && !rest.slice(0, place).includes('--')
}

function unknownCommand(group: string, [word = '']: string[]): UsageError {
  const names = Object.keys(COMMANDS)
  const known = group === '' ? [...new Set(names.map((name) => name.split(' ')[0]))] : membersOf(group)
  const help = `usersync${group && ` ${group}`} --help`
  const found = word === '' || word.startsWith('-') ? 'a command is missing' : `there is no command ${word}`
  return new UsageError(`${group && `${group}: `}${found}: expected ${known.join(', ')}. See \`${help}\`.`)
}

const membersOf = (group: string) =>
  Object.keys(COMMANDS).flatMap((name) => (name.startsWith(`${group} `) ? [name.split(' ')[1]] : []))

/** Parses options and arguments. Throws UsageError. */
function parse(name: string, command: Command, rest: string[]) {
  const known = optionsOf(command)
  const options = Object.fromEntries(
    Object.entries(known).map(([option, { value }]) => [option, { type: value ? 'string' : 'boolean' } as const]),
  )
  const help = `See \`usersync ${name} --help\`.`
  try {
    const { values, positionals: args } = parseArgs({ args: rest, options, allowPositionals: true })
    for (const [option, { choices }] of Object.entries(known)) {
      const value = values[option]
      if (choices && value !== undefined && !choices.includes(String(value)))
        throw new UsageError(`--${option} expects ${choices.join(', ')}`)
    }
    const expected = Object.keys(command.args)
    const missing = expected.slice(args.length).find((argument) => !argument.startsWith('['))
    if (missing !== undefined) throw new UsageError(`${missing} is missing`)
    const isOpen = expected.some((argument) => argument.includes('...'))
    if (args.length > expected.length && !isOpen) throw new UsageError(`unexpected argument ${args[expected.length]}`)
    return { values: values as Record<string, string | boolean | undefined>, args }
  } catch (error) {
    const [message = ''] = String(error instanceof Error ? error.message : error).split(/\.? To specify|\n/)
    throw new UsageError(`${name}: ${message.replace(/\.$/, '')}. ${help}`)
  }
}
