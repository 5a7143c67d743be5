import { remembered } from '../http/remembered.ts'

/** Names the exact content of what a filter selects (api.md, "States and differential export"). */
export type State = string

const FORM = /^u1-[0-9a-f]{64}$/

/** The state of no users at all. */
export const EMPTY_STATE: State = `u1-${'0'.repeat(64)}`

export const isState = (text: string): text is State => FORM.test(text)

/**
 * The states that an `If-None-Match` lists (RFC 9110 section 13.1.2), by the weak comparison; `any` for its `*`. What is not
 * of a state's form is passed over.
 */
export const statesIn = (ifNoneMatch: string | undefined): readonly State[] | 'any' =>
  ifNoneMatch === undefined ? [] : listedStates(ifNoneMatch)

const listedStates = remembered((ifNoneMatch): readonly State[] | 'any' => {
  if (ifNoneMatch.trim() === '*') return 'any'
  return [...ifNoneMatch.matchAll(/(?:W\/)?"([^"]*)"/g)].map(([, tag = '']) => tag).filter(isState)
})
