// `npm test` runs this after the tests, even if they failed. A non-zero exit code fails the run.

import { glob, readFile, stat } from 'node:fs/promises'
import { readCluster, removeCluster } from './cluster.ts'
import { compareAnswers } from './compare-answers.ts'
import { searchRecord } from './search-record.ts'

const cluster = await readCluster()
if (cluster) {
  await printSlowest(cluster.startedAt)
  try {
    if (cluster.record) {
      await search(cluster.record, cluster.url)
      await compare(cluster.record)
    }
  } finally {
    await removeCluster(cluster)
  }
}

/** Searches the logs and error responses of the whole run. They must not contain a key, password, hash or SQL. */
async function search(record: string, url: string | undefined): Promise<void> {
  const password = url ? new URL(url).password : ''
  const { logs, answers, faults } = await searchRecord(record, password === '' ? [] : [password])
  if (faults.length > 0) process.exitCode = 1
  const verdict = faults.length > 0 ? 'not ok - secrets leaked' : 'ok - no secrets leaked'
  const lines = [`${verdict}: ${logs} logs and ${answers} error responses searched`, ...faults.slice(0, 20)]
  process.stdout.write(`${lines.join('\n  ')}\n`)
}

/** Compares the answers of the whole run with the API description. */
async function compare(record: string): Promise<void> {
  const { answers, faults } = await compareAnswers(record)
  if (faults.length > 0) process.exitCode = 1
  const verdict = faults.length > 0 ? 'not ok - answers that /openapi.json lacks' : 'ok - /openapi.json has all answers'
  process.stdout.write(`${[`${verdict}: ${answers} different ones compared`, ...faults].join('\n  ')}\n`)
}

/** Prints the ten slowest files, from the results that tap keeps for each lane, and the duration of the whole run. */
async function printSlowest(startedAt: number): Promise<void> {
  const files: { name: string; seconds: number }[] = []
  for await (const results of glob('.tap/test-results/test/lanes/*.tap')) {
    if ((await stat(results)).mtimeMs < startedAt) continue // from an earlier run
    for (const [, name = '', ms] of (await readFile(results, 'utf8')).matchAll(
      /^(?:not )?ok \d+ - (\S+) # time=([\d.]+)ms/gm,
    )) {
      files.push({ name, seconds: Number(ms) / 1000 })
    }
  }
  const slowest = files.toSorted((a, b) => b.seconds - a.seconds).slice(0, 10)
  const total = Math.round((Date.now() - startedAt) / 1000)
  const lines = slowest.map(({ name, seconds }) => `${seconds.toFixed(1).padStart(6)} s  ${name}`)
  process.stdout.write(
    `# ${total} s in total${lines.length > 0 ? '; slowest files:' : ''}\n${lines.map((line) => `# ${line}\n`).join('')}`,
  )
}
