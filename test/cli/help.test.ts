import { spawnSync } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { COMMANDS, GROUPS } from '../../cli/commands.ts'
import { optionsOf } from '../../cli/connection.ts'
import { EXIT_CODES } from '../../cli/exit-codes.ts'
import { suite } from '../suite.ts'
import { usersync } from './call.ts'

const t = suite()

const NAMES = ['', ...Object.keys(GROUPS), ...Object.keys(COMMANDS)]

const helpOf = async (name: string) => (await usersync([...name.split(' '), '--help'].filter(Boolean))).out

t.test('every help fits 80 columns and lists the options, arguments and an example', async (t) => {
  for (const name of NAMES) {
    const { code, out, err } = await usersync([...name.split(' '), '--help'].filter(Boolean))
    t.strictSame({ code, err }, { code: 0, err: '' }, name)
    t.ok(out.startsWith(`usersync ${name}`), name)
    const wide = out.split('\n').filter((line) => line.length > 80 || line.endsWith(' '))
    t.strictSame(wide, [], `${name}: ${wide.join()}`)
    const command = COMMANDS[name]
    if (!command) continue
    for (const [option, { value = '' }] of Object.entries(optionsOf(command)))
      t.ok(out.includes(`  --${option} ${value}`.trimEnd()), `${name} --${option}`)
    for (const argument of Object.keys(command.args)) t.ok(out.includes(argument), `${name} ${argument}`)
    t.ok(command.examples.length > 0 && command.examples.every((example) => out.includes(example)))
  }
})

t.test('the examples use commands and options that exist', (t) => {
  for (const [name, { examples }] of Object.entries(COMMANDS)) {
    for (const example of examples) {
      const words = /(?<![/\w])usersync ([^|)>]*)/.exec(example)?.[1]?.split(' ') ?? []
      const command = COMMANDS[words.slice(0, 2).join(' ')] ?? COMMANDS[words[0] ?? '']
      t.equal(command, COMMANDS[name], example)
      const options =
        name === 'job' ? ['--date'] : Object.keys(command ? optionsOf(command) : {}).map((option) => `--${option}`)
      for (const word of words) if (/^--\w/.test(word)) t.ok(options.includes(word), `${example}: ${word}`)
    }
  }
  t.end()
})

t.test('docs/command.md has the commands and exit codes', async (t) => {
  const page = await readFile('docs/command.md', 'utf8')
  const rows = [
    ...Object.entries(COMMANDS).map(
      ([name, { args, summary }]) => `\`${[name, ...Object.keys(args)].join(' ')}\` | ${summary}`,
    ),
    ...Object.entries(EXIT_CODES).map(([code, meaning]) => `${code} | ${meaning}`),
  ]
  for (const row of rows) t.ok(page.includes(`\n| ${row} |\n`), `| ${row} |`)
})

t.test('`help NAME` prints the same as `NAME --help`, and no argument the overview', async (t) => {
  t.equal((await usersync(['help', 'batch', 'create'])).out, await helpOf('batch create'))
  t.equal((await usersync(['help', 'lease'])).out, await helpOf('lease'))
  t.equal((await usersync([])).out, await helpOf(''))
})

t.test('the overview has all commands and exit codes', async (t) => {
  const overview = await helpOf('')
  for (const name of Object.keys(COMMANDS)) {
    const [first = '', second] = name.split(' ')
    t.match(overview, new RegExp(`^  ${first} `, 'm'))
    if (second) t.match(await helpOf(first), new RegExp(`^  ${second}\\b`, 'm'))
  }
  for (const code of Object.keys(EXIT_CODES)) t.match(overview, new RegExp(`^  ${code} `, 'm'))
})

t.test('the help of job has the parameters of all jobs, without loading the server', async (t) => {
  const help = await helpOf('job')
  for (const word of ['create', 'verify-states', '--count N', '--targets TEXT', '--date YYYY-MM-DD', 'required'])
    t.ok(help.includes(word), word)
})

/** What bash offers for a command line, whose last word is being typed. */
function offered(script: string, line: string): string[] {
  const words = line.split(' ')
  const program = `${script}
    COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _usersync; printf '%s\\n' "\${COMPREPLY[@]}"`
  return spawnSync('bash', ['-c', program], { encoding: 'utf8' }).stdout.trim().split('\n')
}

t.test('bash completes commands, options and the values of options', async (t) => {
  const { out } = await usersync(['completion', 'bash'])
  t.strictSame(offered(out, 'usersync ba'), ['batch'])
  t.strictSame(offered(out, 'usersync batch '), ['create', 'watch', 'list', 'cancel', 'delete'])
  t.strictSame(offered(out, 'usersync batch create --lab'), ['--label'])
  t.strictSame(offered(out, 'usersync batch create 5 --label x --de'), ['--detach'])
  t.strictSame(offered(out, 'usersync lease return --outcome d'), ['dirty'])
  t.strictSame(offered(out, 'usersync pull --key-file package.js'), ['package.json'])
  t.ok(offered(out, 'usersync pull --').includes('--shuffle'))
})

t.test('the scripts for zsh and fish have every command and option', async (t) => {
  const [zsh, fish] = [(await usersync(['completion', 'zsh'])).out, (await usersync(['completion', 'fish'])).out]
  for (const [name, command] of Object.entries(COMMANDS)) {
    const word = name.split(' ').at(-1) ?? ''
    t.ok(zsh.includes(`'${word}:`), `zsh ${name}`)
    t.ok(fish.includes(` -a ${word} -d `), `fish ${name}`)
    for (const option of Object.keys(optionsOf(command))) {
      t.ok(zsh.includes(`'--${option}:`), `zsh ${name} --${option}`)
      t.ok(fish.includes(`'${name}( .*)?'" -l ${option} `), `fish ${name} --${option}`)
    }
  }
})
