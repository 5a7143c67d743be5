import type { Command, Option } from './command.ts'
import { optionsOf } from './connection.ts'

export const SHELLS = ['bash', 'zsh', 'fish'] as const

type Commands = Record<string, Command>

/** A word that can follow, and what it is. */
type Word = [word: string, description: string]

/** Returns the script that completes `usersync` in a shell. It is static: it calls nothing. */
export function completionScript(shell: (typeof SHELLS)[number], commands: Commands, groups: Record<string, string>) {
  const tree = treeOf(commands, groups)
  return { bash, zsh, fish }[shell](tree)
}

interface Tree {
  /** The words that may follow: by command, such as `batch`; the first word by ''. */
  words: [command: string, words: Word[]][]
  /** The values of options. Undefined: a file. */
  values: [option: string, values: readonly string[] | undefined][]
}

function treeOf(commands: Commands, groups: Record<string, string>): Tree {
  const first = new Map<string, string>()
  for (const [name, { summary }] of Object.entries(commands)) {
    const [word = ''] = name.split(' ')
    first.set(word, groups[word] ?? summary)
  }
  const membersOf = (group: string): Word[] =>
    Object.entries(commands).flatMap(([name, { summary }]) =>
      name.startsWith(`${group} `) ? [[name.slice(group.length + 1), summary]] : [],
    )
  const options = Object.entries(commands).map(([name, command]): [string, Word[]] => [
    name,
    [
      ...Object.entries(optionsOf(command)).map(([option, { description }]): Word => [`--${option}`, description]),
      ['--help', 'print the help'],
    ],
  ])
  const all = Object.values(commands).flatMap((command) => Object.entries(optionsOf(command)))
  const values = new Map(all.flatMap(([option, definition]) => valuesOf(option, definition)))
  return {
    words: [
      ['', [...first]],
      ...Object.keys(groups).map((group): [string, Word[]] => [group, membersOf(group)]),
      ...options,
    ],
    values: [...values],
  }
}

function valuesOf(option: string, { choices, isFile }: Option): [string, readonly string[] | undefined][] {
  return choices || isFile ? [[`--${option}`, choices]] : []
}

/** The branches of a `case` over the words before the current one. The longest names come first. */
const branches = (words: Tree['words'], textOf: (words: Word[]) => string) =>
  words
    .toReversed()
    .map(
      ([name, each]) =>
        `    ${name === '' ? '""' : `"${name}"${name.includes(' ') || each[0]?.[0].startsWith('-') ? '*' : ''}`}) ${textOf(each)} ;;`,
    )
    .join('\n')

const joined = (words: Word[]) => words.map(([word]) => word).join(' ')

const bash = ({
  words,
  values,
}: Tree) => `# usersync completion bash > ~/.local/share/bash-completion/completions/usersync
_usersync() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" before words=""
  before="\${COMP_WORDS[*]:1:COMP_CWORD-1}"
  case "$previous" in
${values.map(([option, choices]) => `    ${option}) ${choices ? `words="${choices.join(' ')}"` : 'COMPREPLY=($(compgen -f -- "$current")); return'} ;;`).join('\n')}
  esac
  [[ -n "$words" ]] || case "$before" in
${branches(words, (each) => `words="${joined(each)}"`)}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [[ \${#COMPREPLY[@]} -gt 0 || "$current" == -* ]] || COMPREPLY=($(compgen -f -- "$current"))
}
complete -F _usersync usersync
`

const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`

const zsh = ({ words, values }: Tree) => `#compdef usersync
# usersync completion zsh > a file _usersync in a folder of $fpath
_usersync() {
  local -a entries
  local before="\${(j: :)words[2,CURRENT-1]}"
  case "$words[CURRENT-1]" in
${values.map(([option, choices]) => `    ${option}) ${choices ? `compadd ${choices.join(' ')}` : '_files'}; return ;;`).join('\n')}
  esac
  case "$before" in
${branches(words, (each) => `entries=(${each.map(([word, text]) => quoted(`${word}:${text.replaceAll(':', '\\:')}`)).join(' ')})`)}
  esac
  _describe usersync entries || _files
}
if [[ "$funcstack[1]" == _usersync ]]; then _usersync "$@"; else compdef _usersync usersync; fi
`

const fish = ({ words, values }: Tree) => `# usersync completion fish > ~/.config/fish/completions/usersync.fish
function __usersync_before
  set -l before (commandline -opc)
  set -e before[1]
  set -l line (string join -- ' ' $before)
  string match -q -r -- "^$argv[1]\\$" "$line"
end
complete -c usersync -n "__usersync_before ''" -f
${words.flatMap(([name, each]) => each.map((word) => fishLine(name, word, values))).join('\n')}
`

function fishLine(name: string, [word, description]: Word, values: Tree['values']): string {
  const isOption = word.startsWith('--')
  const before = isOption ? `${name}( .*)?` : name
  const [, choices] = values.find(([option]) => option === word) ?? []
  const value = values.some(([option]) => option === word)
    ? choices
      ? ` -x -a ${quoted(choices.join(' '))}`
      : ' -r -F'
    : ''
  const what = isOption ? `-l ${word.slice(2)}` : `-f -a ${word}`
  return `complete -c usersync -n "__usersync_before ${quoted(before)}" ${what} -d ${quoted(description)}${value}`
}
