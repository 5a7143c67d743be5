import { createInterface } from 'node:readline/promises'
import { UsageError } from '../src/client/service-options.ts'
import type { Program } from './command.ts'

/**
 * Has the number typed that the action concerns: a plain yes is typed without reading. Throws UsageError if nobody can answer,
 * and the reason of `stop`.
 */
export async function confirmed({ stdin, stderr, stop }: Program, what: string, count: number): Promise<boolean> {
  if (!stdin.isTTY) throw new UsageError(`${what} Confirm with --yes, since stdin is no terminal`)
  stderr.write(`${what} Type ${count} to confirm: `)
  const lines = createInterface({ input: stdin, signal: stop })
  try {
    const { value: answer = '' } = await lines[Symbol.asyncIterator]().next() // `question` never resolves at the end of stdin
    stop.throwIfAborted()
    return answer.trim().replaceAll(',', '') === String(count)
  } finally {
    lines.close()
  }
}
