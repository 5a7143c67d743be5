import { open, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { toldIn } from './never-told.ts'
import { BEGUN } from './run-record.ts'

/** A log that holds what must never be told: a search that does not find it has found out nothing. */
const PLANTED = 'planted.log'

export const plant = (folder: string) => writeFile(join(folder, PLANTED), 'a key: s3cret\n')

export interface Searched {
  logs: number
  answers: number
  /** Where something is told that must not be, and why the search is worth nothing. */
  faults: string[]
}

/** Searches the record of a run for what must stand in no log and no error, and for `values`. */
export async function searchRecord(folder: string, values: readonly string[]): Promise<Searched> {
  const searched: Searched = { logs: 0, answers: 0, faults: [] }
  const files = await readdir(folder)
  const begun = (await readFile(join(folder, BEGUN), 'utf8').catch(() => '')).split('\n').filter((name) => name !== '')
  for (const name of begun) if (!files.includes(name)) searched.faults.push(`${name}: not a line of it was kept`)
  let isFound = false
  for (const name of files.filter((name) => name !== BEGUN)) {
    const teller = name.endsWith('.log') ? 'log' : 'answers'
    if (teller === 'log') searched.logs++
    for await (const line of (await open(join(folder, name))).readLines()) {
      if (teller === 'answers') searched.answers++
      const what = toldIn(line, teller, values)
      if (what && name === PLANTED) isFound = true
      else if (what) searched.faults.push(`${name}: ${what}: ${line.slice(0, 500)}`)
    }
  }
  if (!isFound) searched.faults.push('what was planted is not found')
  return searched
}
