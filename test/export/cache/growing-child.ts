import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { createExportCache } from '../../../src/export/cache/export-cache.ts'

/** Creates an endless export in the folder named on the command line, for the test that kills it. */
async function* endless(): AsyncGenerator<string, void, void> {
  for (;;) {
    yield 'x'.repeat(100_000)
    await sleep(1)
  }
}

const [folder = ''] = process.argv.slice(2)
const cache = await createExportCache({ folder, limitBytes: 1_000_000_000, log: pino({ level: 'silent' }) })
const { stream } = await cache.open('key', 'identity', endless)
stream.on('data', () => process.stdout.write('growing\n'))
