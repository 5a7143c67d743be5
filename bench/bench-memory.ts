import { readFile } from 'node:fs/promises'
import type { Surroundings } from './bench-surroundings.ts'
import { mebibytes, type Row } from './report-table.ts'

const EVERY_MS = 100

/** Reads until `stop`, which returns the bytes. Dispose of it if the measurement fails. */
export interface MemoryWatch extends Disposable {
  stop(): Promise<number[]>
}

/** Reads the resident memory of the service ten times a second. Returns no samples without `/proc`. */
export function watchMemory({ pid }: Surroundings): MemoryWatch {
  const samples: number[] = []
  const read = async () => {
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
    const [, kibibytes] = /^VmRSS:\s+(\d+) kB$/m.exec(status) ?? []
    if (kibibytes !== undefined) samples.push(Number(kibibytes) * 1024)
  }
  const first = read()
  const timer = setInterval(() => void read(), EVERY_MS)
  return {
    async stop() {
      clearInterval(timer)
      await first
      await read()
      return samples
    },
    [Symbol.dispose]: () => clearInterval(timer),
  }
}

/** The row that compares the peak of resident memory with the value before. */
export function memoryRow(load: string, samples: number[]): Row {
  const [before, after] = [samples[0], samples.at(-1)]
  const what = `resident memory of the service during the creation of ${load}`
  if (before === undefined || after === undefined) return { what, measured: 'not measured: no /proc' }
  const peak = Math.max(...samples)
  return {
    what,
    ratio: peak / before,
    measured: `peak ${mebibytes(peak)}, after ${mebibytes(after)}`,
    yardstick: `before: ${mebibytes(before)}`,
  }
}
