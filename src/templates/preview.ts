import type { Sql } from 'postgres'
import { batchConfigBody } from '../batches/batch-config.ts'
import { batchCost } from '../batches/batch-cost.ts'
import { type CompleteConfig, completeConfig } from '../batches/complete-config.ts'
import { generateUsers } from '../batches/generated-users.ts'
import { makeIds, planNames } from '../batches/naming.ts'
import { makeSeed, populationOf } from '../batches/population.ts'
import type { Config } from '../config/config.ts'
import type { FieldError } from '../errors.ts'
import { schemaReader } from '../http/field-errors.ts'
import { attempt, checkStorable, overlay, PLACE, type Verdict, warningsOf } from './settings.ts'
import { readTemplate } from './templates.ts'

/** Maximum number of users that a preview shows. */
const MAX_USERS = 100

/** A user as a batch would create it. The id and the times are null unless the settings have an epoch. */
export interface PreviewUser {
  id: string | null
  username: string
  email: string
  role: string
  custom_attributes: Record<string, unknown>
  created_at: string | null
}

export interface Preview extends Verdict {
  users: PreviewUser[]
  /** Seconds that the batch takes with its workers and nothing else to do, an estimate. Null if it is invalid. */
  estimated_seconds: { hashing: number; creating: number } | null
}

interface PreviewRequest {
  poolId: number
  count: number
  template: string
  /** The settings that override the template’s, of any form. */
  given: object
}

/**
 * Returns the function that shows the first users of a batch as it would create them, and every fault and warning. It
 * writes nothing. The seed of the returned `config` creates exactly these values; `{id}` counts from the pool's next
 * number. Throws `template_not_found`.
 */
export function batchPreviewer(sql: Sql, config: Config) {
  const readMembers = schemaReader(batchConfigBody(config), PLACE)
  return async ({ poolId, count, template, given }: PreviewRequest): Promise<Preview> => {
    const { config: defaults } = await readTemplate(sql, poolId, template)
    const read = attempt(() => {
      checkStorable(given)
      return completeConfig({ seed: makeSeed(), ...readMembers(overlay(defaults, readMembers(given))) }, count, config)
    })
    if (read.value === undefined) return invalid(read.errors)
    const complete = read.value
    const population = populationOf(complete.settings, count)
    const { firstNumber, hasPopulation } = await readPlace(sql, poolId, population?.ids.batchId)
    const names = attempt(() => usersOf(complete, count, firstNumber, config.reservedDomains))
    if (names.value === undefined) return { ...invalid(names.errors), config: complete.settings }
    const warnings = warningsOf(complete.settings, complete.password)
    if (hasPopulation) warnings.push(ALREADY_EXISTS)
    return {
      is_valid: true,
      errors: [],
      warnings,
      config: complete.settings,
      users: names.value,
      estimated_seconds: estimate(complete, count),
    }
  }
}

const invalid = (errors: FieldError[]): Preview => ({
  ...{ is_valid: false, errors, warnings: [], config: null, users: [], estimated_seconds: null },
})

function usersOf(complete: CompleteConfig, count: number, firstNumber: number, domains: string[]): PreviewUser[] {
  const { settings, users } = complete
  const ids = populationOf(settings, count)?.ids
  const { shortId } = ids ?? makeIds()
  const { emailSuffix } = planNames(
    {
      pattern: settings.username_pattern,
      longestPattern: users.longestUsernamePattern,
      emailDomain: settings.email_domain,
      count,
    },
    { shortId, firstNumber },
    domains,
  )
  const range = { first: 1, last: Math.min(count, MAX_USERS), firstNumber }
  return [...generateUsers(users, range)].flatMap(({ first_n, text }) =>
    text.split('\n').map((line, index) => {
      const [name, role, custom_attributes] = JSON.parse(line) as [string, string, Record<string, unknown>]
      const username = name.replaceAll('{batch}', shortId)
      return {
        id: ids ? `${ids.userIdPrefix}${(first_n + index).toString(16).padStart(8, '0')}` : null,
        username,
        email: username + emailSuffix,
        role,
        custom_attributes,
        created_at: settings.epoch?.replace('Z', '000Z') ?? null, // six digits, as in the user line
      }
    }),
  )
}

const ALREADY_EXISTS: FieldError = {
  path: 'body.config',
  code: 'population_exists',
  message: 'is a population that the pool already has: POST /v1/batches would answer 409',
}

/** Returns the `{id}` of the next user of the pool, and whether the pool has the population with this batch id. */
async function readPlace(sql: Sql, poolId: number, batchId: string | undefined) {
  const [row] = await sql<{ number: string; has_population: boolean }[]>`
    select next_user_number as number, exists (
        select from batches b where b.pool_id = p.id and b.id = ${batchId ?? null}::uuid and b.removed_at is null
      ) as has_population
    from pools p where p.id = ${poolId}`
  return { firstNumber: Number(row?.number ?? 1), hasPopulation: row?.has_population === true }
}

/** Milliseconds of one worker thread for one generated value. Measured: 0.1 to 1 µs; names of other scripts take the longest. */
const VALUE_MS = 0.001

function estimate({ settings, users }: CompleteConfig, count: number): { hashing: number; creating: number } {
  const { hashing, creating } = batchCost(settings, settings.password_hash.distinct, count)
  const generating = users.isConstant ? 0 : count * users.cost * VALUE_MS
  const seconds = (milliseconds: number) => Math.ceil(milliseconds / settings.max_workers / 100) / 10
  return { hashing: seconds(hashing), creating: seconds(creating + generating) }
}
