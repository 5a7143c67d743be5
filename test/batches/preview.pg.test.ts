import { deepEqual, equal } from 'node:assert/strict'
import fc from 'fast-check'
import type { Batch } from '../../src/batches/batches.ts'
import type { FieldError } from '../../src/errors.ts'
import { LOCALES } from '../../src/generators/locales.ts'
import type { Preview } from '../../src/templates/preview.ts'
import { makePool } from '../export/observe.ts'
import { everyGenerator } from '../generators/every-generator.ts'
import { sharedService } from '../http/shared-service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()

const { sql, call } = await sharedService(t)

const attributes = {
  ...everyGenerator,
  first: { $name: 'first' },
  last: { $name: 'last', locale: 'es' },
  home: { city: { $place: 'city' } },
}
const literal = fc.string({ unit: fc.constantFrom('a', 'Z', '7', '.', '_', 'é', '🐉', "'", '\\', '$', '&', '"', '%') })

/** Settings, most of which are valid. Without an epoch, `{batch}` differs between a preview and its batch. */
const settings = fc
  .record({
    seed: fc.string({ minLength: 1, maxLength: 20 }).filter((seed) => !seed.includes('\0')),
    locale: fc.constantFrom(...LOCALES),
    role: fc.constantFrom<unknown>('user', { $choice: { user: 3, admin: 1 } }, { $ref: 'plan' }),
    isPopulation: fc.boolean(),
    names: fc.subarray(Object.keys(attributes)),
    pattern: fc.tuple(
      literal,
      fc.constantFrom('{number}', '{first}.{number}', '{number}-{last}.{age}', '{plan}.{number}', '{color}{number}'),
      literal,
      fc.constantFrom('', '@example.com', '@Sub.example.test'),
    ),
    chunk_size: fc.integer({ min: 1, max: 50 }),
    max_workers: fc.integer({ min: 1, max: 2 }),
  })
  .map(({ isPopulation, names, pattern, ...others }) => ({
    ...others,
    ...(isPopulation && { epoch: '2026-01-31T12:00:00.001Z' }),
    username_pattern: pattern.join('').replace('{number}', isPopulation ? '{batch}_{n}' : '{id}'),
    custom_attributes: Object.fromEntries(
      Object.entries(attributes).filter(([name]) => names.includes(name) || ALWAYS.includes(name)),
    ),
    password_hash: { algorithm: 'none' },
  }))

/** Attributes that patterns and other attributes refer to. */
const ALWAYS = ['plan', 'customer', 'address', 'color', 'first', 'last', 'age']

t.test('a preview and the batch with the same settings agree, whatever the settings', async (t) => {
  let runs = 0
  let valid = 0
  const property = fc.asyncProperty(settings, fc.integer({ min: 1, max: 130 }), async (config, count) => {
    const pool = `preview-${++runs}`
    const poolId = await makePool(sql, pool)
    const shown = await call<Preview>('POST', `/v1/batches/preview?pool=${pool}`, { body: { count, config } })
    const made = await call<Batch & { errors?: FieldError[] }>('POST', `/v1/batches?pool=${pool}`, {
      body: { count, config },
      headers: { prefer: 'wait=30' },
    })
    if (!shown.json.is_valid) {
      equal(made.status >= 400, true)
      return deepEqual(shown.json.errors, made.json.errors)
    }
    valid++
    deepEqual([made.status, made.json.status, made.json.created_count], [201, 'completed', count])
    const hasEpoch = 'epoch' in config
    const created = await sql`
      select case when ${hasEpoch} then id end as id, username, email, role, custom_attributes,
        case when ${hasEpoch} then rfc3339(created_at) end as created_at
      from users where pool_id = ${poolId} order by users.id limit 100`
    deepEqual(shown.json.users, [...created])
  })
  await fc.assert(property, { numRuns: sized(6, 100), seed: 1, endOnFailure: true })
  t.ok(valid > runs / 3 && valid < runs, `${valid} of ${runs} settings are valid`)
})
