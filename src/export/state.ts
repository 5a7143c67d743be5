import { remembered } from '../http/remembered.ts'

/** Names the exact content of what a filter selects (api.md, "States and differential export"). */
export type State = string

const FORM = /^u1-[0-9a-f]{64}$/

/** The state of no users at all. */
export const EMPTY_STATE: State = `u1-${'0'.repeat(64)}`

export const isState = (text: string): text is State => FORM.test(text)

/**
 * The states that an `If-None-Match` lists (RFC 9110 section 13.1.2), by the weak comparison; `any` for its `*`. A state may come
 * without quotes, as people write it, and with the coding that a proxy has put behind it (`"u1-…-gzip"`). Other tags are ignored.
 */
export const statesIn = (ifNoneMatch: string | undefined): readonly State[] | 'any' =>
  ifNoneMatch === undefined ? [] : listedStates(ifNoneMatch)

/** A quoted tag, in which commas are text, or what stands between two commas. */
const TAG = /(?:W\/)?(?:"([^"]*)"|([^\s",]+))/g
const CODING_SUFFIX = /-(gzip|br|zstd|deflate)$/

const listedStates = remembered((ifNoneMatch): readonly State[] | 'any' => {
  if (ifNoneMatch.trim() === '*') return 'any'
  const tags = [...ifNoneMatch.matchAll(TAG)].map(([, quoted, bare = '']) => quoted ?? bare)
  return tags.map((tag) => tag.replace(CODING_SUFFIX, '')).filter(isState)
})
