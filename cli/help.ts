import type { Command, Option } from './command.ts'
import { COMMANDS, GROUPS } from './commands.ts'
import { optionsOf } from './connection.ts'
import { EXIT_CODES } from './exit-codes.ts'

/** The width of a terminal as it opens. */
const WIDTH = 80
const INDENT = '  '

/** Where descriptions begin. */
const COLUMN = 26

/** Returns the help of the program, of a group such as `batch`, or of a command. Undefined if there is no such name. */
export function helpOf(name: string): string | undefined {
  const found = COMMANDS[name]
  if (found) return helpOfCommand(name, found)
  if (name !== '' && !(name in GROUPS)) return undefined
  return name === '' ? helpOfProgram() : helpOfGroup(name)
}

function helpOfProgram(): string {
  const names = [...new Set(Object.keys(COMMANDS).map((name) => name.split(' ')[0] ?? ''))]
  const summaryOf = (name: string) => COMMANDS[name]?.summary ?? GROUPS[name] ?? ''
  return [
    'usersync COMMAND [ARGUMENT]... [OPTION]...\n',
    'Creates test users in bulk, and keeps load generators in step with them.\n\n',
    ...names.map((name) => entry(name, summaryOf(name))),
    '\n`usersync COMMAND --help` describes a command; --version prints the version.\n',
    '\nEnvironment:\n',
    entry('USERSYNC_URL', 'the URL of the service, such as http://host:3000'),
    entry('USERSYNC_KEY', 'the API key. It cannot be an option: other users can read those'),
    '\nExit codes:\n',
    ...Object.entries(EXIT_CODES).map(([code, meaning]) => entry(code, meaning, 7)),
  ].join('')
}

function helpOfGroup(group: string): string {
  const members = Object.entries(COMMANDS).filter(([name]) => name.startsWith(`${group} `))
  return [
    `usersync ${group} COMMAND [ARGUMENT]... [OPTION]...\n`,
    `${wrapped(`${capital(GROUPS[group] ?? '')}.`, '')}\n`,
    ...members.map(([name, { summary, args }]) => entry([name.split(' ')[1], ...Object.keys(args)].join(' '), summary)),
    `\n\`usersync ${group} COMMAND --help\` describes a command.\n`,
  ].join('')
}

function helpOfCommand(name: string, command: Command): string {
  const { summary, args, details, examples } = command
  const options = Object.entries(optionsOf(command))
  const usage = ['usersync', name, ...Object.keys(args), ...(options.length > 0 ? ['[OPTION]...'] : [])].join(' ')
  return [
    wrapped(usage, INDENT.repeat(2), ''),
    wrapped(`${capital(summary)}.`, ''),
    details &&
      `\n${details
        .split('\n')
        .map((line) => (line.startsWith(' ') ? `${line}\n` : wrapped(line, '')))
        .join('')}`,
    '\n',
    ...Object.entries(args)
      .filter(([, description]) => description !== '')
      .map(([argument, description]) => entry(argument, description)),
    ...options.map(([option, definition]) => entry(optionText(option, definition), definition.description)),
    entry('--help', 'print this'),
    '\nExamples:\n',
    ...examples.map((example) => `${INDENT}${example}\n`),
  ].join('')
}

const optionText = (name: string, { value }: Option) => `--${name}${value ? ` ${value}` : ''}`

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)

/** A name and its description beside it, or below if the name is long. */
function entry(name: string, description: string, column = COLUMN): string {
  const head = `${INDENT}${name}`
  const text = wrapped(description, ' '.repeat(column))
  return head.length + 2 > column ? `${head}\n${text}` : head.padEnd(column) + text.trimStart()
}

/** Breaks text into lines of at most 80 columns; all but the first begin with `indent`, and the first one with `first`. */
function wrapped(text: string, indent: string, first = indent): string {
  const lines: string[] = []
  let line = first
  for (const word of text.split(' ')) {
    const isEmpty = line.trim() === ''
    if (!isEmpty && line.length + 1 + word.length > WIDTH) {
      lines.push(line)
      line = indent + word
    } else {
      line += (isEmpty ? '' : ' ') + word
    }
  }
  return [...lines, line].map((each) => `${each}\n`).join('')
}
