import { open, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { leakIn } from './leaks.ts'
import { BEGUN } from './run-record.ts'

/** A log that contains a secret on purpose: if the search does not find it, the search does not work. */
const PLANTED = 'planted.log'

export const plant = (folder: string) => writeFile(join(folder, PLANTED), 'a key: s3cret\n')

export interface Searched {
  logs: number
  answers: number
  /** The leaks that were found, and the reasons why the search did not work. */
  faults: string[]
}

/** Searches the record of a run for leaks, including `values`. */
export async function searchRecord(folder: string, values: readonly string[]): Promise<Searched> {
  const searched: Searched = { logs: 0, answers: 0, faults: [] }
  const files = await readdir(folder)
  const begun = (await readFile(join(folder, BEGUN), 'utf8').catch(() => '')).split('\n').filter((name) => name !== '')
  for (const name of begun) if (!files.includes(name)) searched.faults.push(`${name}: no line was recorded`)
  let isFound = false
  for (const name of files.filter((name) => /\.(log|answers)$/.test(name))) {
    const source = name.endsWith('.log') ? 'log' : 'answers'
    if (source === 'log') searched.logs++
    for await (const line of (await open(join(folder, name))).readLines()) {
      if (source === 'answers') searched.answers++
      const what = leakIn(line, source, values)
      if (what && name === PLANTED) isFound = true
      else if (what) searched.faults.push(`${name}: ${what}: ${line.slice(0, 500)}`)
    }
  }
  if (!isFound) searched.faults.push('the planted secret is not found')
  return searched
}
