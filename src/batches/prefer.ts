const LONGEST_WAIT_SECONDS = 60

/** The seconds of `Prefer: wait=N` (RFC 7240), at most 60; 0 where there is none, since preferences may be ignored. */
export function preferredWait(header: string | string[] | undefined): number {
  const [, seconds] = /(?:^|[,;])\s*wait\s*=\s*"?(\d+)"?\s*(?=$|[,;])/i.exec([header].flat().join(',')) ?? []
  return Math.min(LONGEST_WAIT_SECONDS, Number(seconds ?? 0))
}
