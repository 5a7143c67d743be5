// `npm run bench`: measures the speed of the service. Each figure is compared with a yardstick that is measured in
// turns with it on the same machine. Prints a Markdown table and writes all figures to bench/results. Exits with code 1
// if a measurement failed. A missed target is shown, but is not a failure.

import { describeMachine, type Machine } from './bench-machine.ts'
import { type BenchOptions, readOptions, USAGE } from './bench-options.ts'
import { showProgress } from './bench-progress.ts'
import { startSurroundings } from './bench-surroundings.ts'
import { concurrentRequests } from './concurrency.ts'
import { bulkCreation } from './create-bulk.ts'
import { batchCounts } from './create-counts.ts'
import { generatedUsers } from './create-generated.ts'
import { batchSettings } from './create-settings.ts'
import { exportAnswers } from './export-section.ts'
import { userLeases } from './lease-section.ts'
import { userListing } from './list-pages.ts'
import { operatorsPage } from './page-section.ts'
import { writeReport } from './report-file.ts'
import type { Section, SectionResult } from './report-section.ts'
import { tableOf } from './report-table.ts'
import { sinks } from './sink-section.ts'

const SECTIONS: Section[] = [
  bulkCreation,
  generatedUsers,
  batchSettings,
  batchCounts,
  exportAnswers,
  userListing,
  sinks,
  userLeases,
  concurrentRequests,
  operatorsPage,
]

interface Report {
  startedAt: Date
  options: BenchOptions
  machine?: Machine
  sections: Record<string, SectionResult>
  /** Warnings and errors of the service. */
  complaints: string[]
  /** Why a measurement failed. */
  faults: string[]
}

const halt = new AbortController()
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => halt.abort(new Error(`${name} received`)))
}
process.on('uncaughtException', (error) => halt.abort(error)) // otherwise PostgreSQL and the service would keep running
process.stdout.on('error', (error) => halt.abort(error)) // the reader of the output has exited

const options = optionsOrExit()
const progress = showProgress(process.stderr)
const report: Report = { startedAt: new Date(), options, sections: {}, complaints: [], faults: [] }
try {
  await measure(report)
} catch (error) {
  report.faults.push(messageOf(error))
}
progress('')
if (Object.keys(report.sections).length > 0) {
  process.stdout.write(`${textOf(report)}\n\nAll figures: ${await writeReport(report)}\n`)
}
for (const line of report.complaints) process.stderr.write(`service log: ${line}\n`)
for (const fault of report.faults) {
  process.stderr.write(`bench failed: ${fault}\n`)
  process.exitCode = 1
}
setTimeout(() => process.exit(), 5_000).unref() // for what a measurement past its deadline has left open

/** Fills the report section by section. If one fails, the others still run. Nothing is left behind. */
async function measure(report: Report): Promise<void> {
  await using cleanup = new AsyncDisposableStack()
  const surroundings = await startSurroundings(options, progress, cleanup, halt)
  report.complaints = surroundings.complaints
  report.machine = await describeMachine(surroundings.sql)
  const sections = SECTIONS.filter(({ name }) => options.only.length === 0 || options.only.includes(name))
  for (const section of sections) {
    try {
      report.sections[section.name] = await section.measure(surroundings)
    } catch (error) {
      report.faults.push(`${section.name}: ${messageOf(error)}`)
      if (halt.signal.aborted) break
    }
  }
  progress('stopping the service and PostgreSQL')
}

/** The table, with the conditions needed to read it. */
function textOf({ machine, options, sections }: Report): string {
  const rows = Object.values(sections).flatMap((section) => section.rows)
  const lines = [
    `Medians of ${options.rounds} rounds or more, measured in turns with the yardstick. Users are created in empty tables each time,`,
    "after a checkpoint. The ratio is the median of the rounds' ratios.",
    '',
    tableOf(rows),
  ]
  if (machine) {
    const { node, postgresql, cores, processor, memoryMiB } = machine
    lines.unshift(`Node ${node}, PostgreSQL ${postgresql}, ${cores} cores (${processor}), ${memoryMiB} MiB of memory.`)
  }
  return lines.join('\n')
}

function optionsOrExit(): BenchOptions {
  try {
    return readOptions(
      process.argv.slice(2),
      SECTIONS.map(({ name }) => name),
    )
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n\n${USAGE}\n`)
    process.exit(2)
  }
}

function messageOf(error: unknown): string {
  // the first is of the cleanup, the second is why it started
  if (error instanceof SuppressedError) return `${messageOf(error.suppressed)}; then ${messageOf(error.error)}`
  return error instanceof Error ? error.message : String(error)
}
