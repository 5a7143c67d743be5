import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Batch } from '../../src/batches/batches.ts'
import { everyGenerator } from '../generators/every-generator.ts'
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'

const t = suite()

/** Without `slot`, which has fewer values than the batch users. */
const { slot: _, ...attributes } = everyGenerator

/**
 * A population has these ids, lines and this state on every server, for ever. If this test fails, the form of user lines or states has
 * changed, and no client holds a known state any longer: undo the change, or announce it (docs/releases.md).
 */
t.test('the ids, lines and state of a population are those of the golden file', async (t) => {
  const { url, call } = await sharedService(t)
  const config = {
    seed: 'golden',
    epoch: '2026-01-31T12:00:00Z',
    username_pattern: '{first}.{plan}.{n}',
    custom_attributes: { ...attributes, first: { $name: 'first' }, text: 'ünï ☃ "quoted" \\ /' },
    role: { $choice: { user: 9, admin: 1 } },
    password_hash: { algorithm: 'none' },
  }
  const { json: batch } = await call<Batch>('POST', '/v1/batches', {
    body: { count: 5, config },
    headers: { prefer: 'wait=30' },
  })
  const lines = (await (await fetch(`${url}/v1/users/export?format=ndjson`)).text())
    .split('\n')
    .filter((line) => line.startsWith('{"id"'))
    .toSorted()
  const golden = readFileSync(join(import.meta.dirname, 'golden', 'v1-population.txt'), 'utf8')
  t.equal(`${batch.id}\n${batch.state}\n${lines.join('\n')}\n`, golden)
})
