import { mkdir, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const RESULTS = fileURLToPath(new URL('results', import.meta.url))

/** Writes the report to `bench/results/<date-time in UTC>.json`. Returns the path below the project. */
export async function writeReport(report: { startedAt: Date }): Promise<string> {
  const name = `${report.startedAt.toISOString().slice(0, 19).replaceAll(':', '-')}.json`
  await mkdir(RESULTS, { recursive: true })
  await writeFile(join(RESULTS, name), `${JSON.stringify(report, null, 2)}\n`)
  return join('bench', basename(RESULTS), name)
}
