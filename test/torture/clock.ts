import { setTimeout as sleep } from 'node:timers/promises'

const TICK_MS = 100
/** A tick counts for this much at most: where this process itself gets no processor time, no bound is judged by it. */
const MAX_STEP_MS = 300

let fair = 0
let last = performance.now()

setInterval(() => {
  const now = performance.now()
  fair += Math.min(now - last, MAX_STEP_MS)
  last = now
}, TICK_MS).unref()

/** Milliseconds in which this process was able to look: bounds are measured in these. */
export const fairNow = () => fair

/** Waits until `holds` gives true, at most `boundMs`; gives whether it did. An error counts as false. */
export async function eventually(boundMs: number, holds: () => Promise<boolean>, pauseMs = 250): Promise<boolean> {
  for (const began = fairNow(); ; await sleep(pauseMs)) {
    if (await holds().catch(() => false)) return true
    if (fairNow() - began > boundMs) return false
  }
}

/**
 * Waits until `look` gives nothing any more. Where what it gives stays the same for `boundMs`, nothing is coming: gives it then.
 * So a machine that is busy takes longer, and only what stands still is a fault.
 */
export async function leftStanding<Row>(boundMs: number, look: () => Promise<Row[]>): Promise<Row[]> {
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
