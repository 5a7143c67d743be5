/** ENOSPC: the disk has no space, or no inode. EDQUOT: the quota of the user is used up. */
const CODES = ['ENOSPC', 'EDQUOT']
const SQLITE_FULL = 13

/** Whether a file could not be created, written or locked because the disk is full. */
export function isDiskFull(error: unknown): boolean {
  const { code, errcode } = (error ?? {}) as { code?: unknown; errcode?: unknown }
  return CODES.includes(String(code)) || errcode === SQLITE_FULL
}
