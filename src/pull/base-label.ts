import type { FileHandle } from 'node:fs/promises'
import { type Asked, boundTo } from './asked.ts'

/** The first line of a base: what it is bound to, and how damage is noticed. The rest is a full NDJSON export. */
export interface BaseLabel {
  bound: object
  /** SHA-256 of what follows this line. */
  sum: string
  /** SHA-256 of the file that was made together with this base. */
  outSum: string
}

/** A label is far shorter; a first line that is longer is none. */
const LONGEST = 16_384

const NO_SUM = '0'.repeat(64)

/** The label with its line end. Without the sums it has the same length, so that they can be put in later. */
export function writeLabel(asked: Asked, sum = NO_SUM, outSum = NO_SUM): string {
  return `${JSON.stringify({ bound: boundTo(asked), sum, outSum } satisfies BaseLabel)}\n`
}

/** The label of a base that was made for `asked`, and its bytes; undefined where there is another one, or none. */
export async function readLabel(
  handle: FileHandle,
  asked: Asked,
): Promise<(BaseLabel & { bytes: number }) | undefined> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(LONGEST), 0, LONGEST, 0)
  const bytes = buffer.subarray(0, bytesRead).indexOf('\n') + 1
  const { bound, sum, outSum } = parse(buffer.toString('utf8', 0, bytes))
  if (!sum || !outSum || JSON.stringify(bound) !== JSON.stringify(boundTo(asked))) return undefined
  return { bound: boundTo(asked), sum, outSum, bytes }
}

function parse(text: string): Partial<BaseLabel> {
  try {
    return (JSON.parse(text) as Partial<BaseLabel> | null) ?? {}
  } catch {
    return {}
  }
}
