import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The beginning of an SQL text. Only these tags are read, so that no other template can be taken for SQL. */
const BEGIN = /\b(?:sql|tx|session|savepoint|connection|transaction)(?:<[^`;]*?>)?`/g

/** Statements for the databases of systems under test, which are not ours. */
const OTHERS = 'sync/kinds/**'

/**
 * Returns the SQL texts of the sources in `folder`, by file. A parameter or a nested fragment is `$`, and a function that makes a
 * fragment is `$name()`. Fragments are texts too.
 */
export const sqlTexts = (folder: string): { file: string; text: string }[] =>
  globSync('**/*.ts', { cwd: folder, exclude: [OTHERS] }).flatMap((file) =>
    textsIn(readFileSync(join(folder, file), 'utf8')).map((text) => ({ file, text })),
  )

function textsIn(source: string): string[] {
  return [...source.matchAll(BEGIN)].map(({ index, 0: { length } }) =>
    normal(readTemplate(source, index + length).text),
  )
}

/** Reads a template literal from behind its first backtick. */
function readTemplate(source: string, start: number): { text: string; end: number } {
  let text = ''
  for (let i = start; i < source.length; i++) {
    if (source[i] === '`') return { text, end: i }
    if (source.startsWith('${', i)) {
      const end = endOfExpression(source, i + 2)
      const [, name = ''] = /^(\w+)\(/.exec(source.slice(i + 2, end)) ?? []
      text += name === '' ? '$' : `$${name}()`
      i = end
    } else if (source[i] === '\\') text += source[i++]
    else text += source[i]
  }
  throw new Error(`a template does not end: ${source.slice(start, start + 80)}`)
}

/** Returns the place of the brace that ends the expression of a template. */
function endOfExpression(source: string, start: number): number {
  let depth = 0
  for (let i = start; i < source.length; i++) {
    if (source[i] === '`') i = readTemplate(source, i + 1).end
    else if (source[i] === '{') depth++
    else if (source[i] === '}' && depth-- === 0) return i
  }
  throw new Error(`an expression does not end: ${source.slice(start, start + 80)}`)
}

const normal = (text: string) => text.replace(/--.*$/gm, '').replace(/\s+/g, ' ').trim().toLowerCase()

const VOLATILE = /\b(random|clock_timestamp|gen_random_uuid|uuid_v7|nextval)\(/
const NOT_IMMUTABLE = /\b(now|random|clock_timestamp|gen_random_uuid|uuid_v7|nextval|rfc3339|user_line)\(|::timestamptz/

/** What Citus refuses, or does not do on its workers without saying so, and what to write instead. */
const RULES: { why: string; isBroken: (text: string) => boolean }[] = [
  {
    why: 'set_config does not reach a worker: use setLocal',
    isBroken: (text) => text.includes('set_config('),
  },
  {
    why: 'SET CONSTRAINTS does not reach a worker: read what the transaction has written (lookUpPending)',
    isBroken: (text) => text.includes('set constraints'),
  },
  {
    why: 'no volatile function in an UPDATE: take the value from a CTE, or pass it as a parameter',
    isBroken: (text) => updates(text).some((update) => VOLATILE.test(update)),
  },
  {
    why: 'no function that is not immutable in CASE or COALESCE of an UPDATE: take the value from a subquery with offset 0, or use LEAST',
    isBroken: (text) =>
      updates(text)
        .flatMap((update) => [...parts(update, /\bcoalesce\(/g), ...parts(update, /\bcase\b/g, /\bend\b/)])
        .some((part) => NOT_IMMUTABLE.test(part)),
  },
  {
    why: 'only immutable functions, and no subquery, in DO UPDATE SET: give the value in the insert, and use excluded',
    isBroken: (text) =>
      parts(text, /\bdo update set\b/g, /\b(returning|where)\b/).some(
        (part) => NOT_IMMUTABLE.test(part) || /\bselect\b/.test(part),
      ),
  },
  {
    why: 'no function in RETURNING: select from a CTE that returns the columns',
    isBroken: (text) => parts(text, /\breturning\b/g).some((part) => /\w\(/.test(part)),
  },
  {
    why: 'a temporary table cannot be joined: write (select * from staged_… offset 0)',
    isBroken: (text) => /\b(users|scopes|pools)\b/.test(text) && /(?<!\(select \* )\b(from|join) staged_/.test(text),
  },
]

/** Returns why Citus could not run the SQL text as PostgreSQL does. Empty if it can, as far as these rules know. */
export const formFaults = (text: string): string[] =>
  RULES.filter(({ isBroken }) => isBroken(text)).map(({ why }) => why)

/** The UPDATE statements of a text, without the subqueries in parentheses that make values. */
const updates = (text: string) =>
  parts(text, /\bupdate (?!set\b)\$?[a-z_]+ (?:[a-z] )?set\b/g).map((update) =>
    update.replace(/\(\s*select\b[^()]*(\([^()]*(\([^()]*(\([^()]*\)[^()]*)*\)[^()]*)*\)[^()]*)*\)/g, '()'),
  )

/** The texts from each match of `begin` to `end` on the same level of parentheses, or to the end of that level. */
function parts(text: string, begin: RegExp, end?: RegExp): string[] {
  return [...text.matchAll(begin)].map((match) => {
    const rest = text.slice(match.index + match[0].length)
    let depth = 0
    for (let i = 0; i < rest.length; i++) {
      if (rest[i] === '(') depth++
      if (rest[i] === ')' && --depth < 0) return rest.slice(0, i)
      const ended = end && depth === 0 && rest.slice(i).search(end) === 0
      if (ended) return rest.slice(0, i)
    }
    return rest
  })
}
