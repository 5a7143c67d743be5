import { parseArgs } from 'node:util'

/** The options from the command line. */
export interface BenchOptions {
  /** The number of users in the large batch. */
  users: number
  /** The number of users in the pool that is listed. */
  listed: number
  /** The number of turns of each candidate, of which the median is used. */
  rounds: number
  /** How long the operator's page stays open. */
  minutes: number
  /** The sections to run; empty: all. */
  only: string[]
}

export const USAGE = `node bench/bench.ts [--users N | --full] [--rounds N] [--minutes N] [--only SECTION]...
  --users N   users in the large batch (default 300,000) and in the pool that is listed (default 1,000,000)
  --full      the same as --users 1000000
  --rounds N  turns of each candidate (default 3)
  --minutes N minutes that the operator's page stays open (default 2)
  --only S    run only this section; may be repeated`

/** Reads the arguments after the program name. Throws an Error that says what is wrong. */
export function readOptions(args: string[], sections: string[]): BenchOptions {
  const { values } = parseArgs({
    args,
    options: {
      users: { type: 'string' },
      full: { type: 'boolean', default: false },
      rounds: { type: 'string', default: '3' },
      minutes: { type: 'string', default: '2' },
      only: { type: 'string', multiple: true, default: [] },
    },
  })
  const unknown = values.only.find((name) => !sections.includes(name))
  if (unknown !== undefined) throw new Error(`--only ${unknown}: the sections are ${sections.join(', ')}`)
  const requested = values.full ? '1000000' : values.users
  const users = requested === undefined ? undefined : wholeNumber('--users', requested, 1_000, 100_000_000)
  return {
    users: users ?? 300_000,
    listed: users ?? 1_000_000,
    rounds: wholeNumber('--rounds', values.rounds, 1, 100),
    minutes: wholeNumber('--minutes', values.minutes, 1, 1_440),
    only: values.only,
  }
}

function wholeNumber(option: string, text: string, least: number, most: number): number {
  const value = Number(text)
  if (/^\d+$/.test(text) && value >= least && value <= most) return value
  throw new Error(`${option} expects a whole number from ${least} to ${most}`)
}
