import { setTimeout as sleep } from 'node:timers/promises'

const TICK_MS = 100
/** The maximum that a tick counts. Time in which this process gets no CPU does not count towards any limit. */
const MAX_STEP_MS = 300

let fair = 0
let last = performance.now()

setInterval(() => {
  const now = performance.now()
  fair += Math.min(now - last, MAX_STEP_MS)
  last = now
}, TICK_MS).unref()

/** Milliseconds in which this process was running. Limits are measured in these. */
export const fairNow = () => fair

/** Waits until `holds` returns true, at most `boundMs`. Returns whether it did. An error counts as false. */
export async function eventually(boundMs: number, holds: () => Promise<boolean>, pauseMs = 250): Promise<boolean> {
  for (const began = fairNow(); ; await sleep(pauseMs)) {
    if (await holds().catch(() => false)) return true
    if (fairNow() - began > boundMs) return false
  }
}

/**
 * Waits until `look` returns no rows. If it returns the same rows for `boundMs`, there is no more progress, and they
 * are returned. So a busy machine takes longer, and only a standstill is an error.
 */
export async function remaining<Row>(boundMs: number, look: () => Promise<Row[]>): Promise<Row[]> {
  let last = ''
  let since = fairNow()
  for (;;) {
    const rows = await look().catch(() => undefined)
    if (rows?.length === 0) return []
    const text = JSON.stringify(rows)
    if (text !== last) since = fairNow()
    last = text
    if (rows && fairNow() - since > boundMs) return rows
    await sleep(250)
  }
}
