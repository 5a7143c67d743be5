import { setTimeout as sleep } from 'node:timers/promises'
import type { Key } from '../client.ts'
import { eventually } from '../clock.ts'
import type { Form } from '../events.ts'
import { differenceOf, Held } from '../held.ts'
import { createRandom } from '../random.ts'
import type { World } from '../world.ts'

interface Following {
  form: Form
  query: string
  key: Key
  include?: string
  shard?: string
  /** Sends the state in If-None-Match instead of base=. */
  byHeader: boolean
}

const LOGINS = 'password,password_hash'

/** Each format, with and without credentials, with shards and filters. */
const FOLLOWINGS: Following[] = [
  { form: 'ndjson', query: 'pool=steady', key: 'logins', include: LOGINS, byHeader: true },
  { form: 'json', query: 'pool=steady', key: 'logins', include: LOGINS, byHeader: false },
  { form: 'csv', query: 'pool=steady', key: 'logins', include: 'password', byHeader: true },
  { form: 'ndjson', query: 'pool=default', key: 'reader', byHeader: true },
  { form: 'json', query: 'pool=default&bulk_users_only=true', key: 'reader', byHeader: true },
  { form: 'csv', query: 'pool=default', key: 'reader', byHeader: false },
  { form: 'ndjson', query: 'pool=default&test_users_only=false', key: 'admin', byHeader: true },
  { form: 'ndjson', query: 'pool=default', key: 'logins', include: LOGINS, shard: '1/3', byHeader: true },
  { form: 'csv', query: 'pool=steady', key: 'reader', shard: '0/2', byHeader: false },
]

/** How long a follower may take to catch up once nothing changes. */
const CATCH_UP_MS = 60_000

/** A client that follows by deltas during the whole run, over both replicas at random. */
export class Follower {
  readonly #world: World
  readonly #following: Following
  readonly #random
  #held = new Held()

  constructor(world: World, following: Following, seed: number) {
    this.#world = world
    this.#following = following
    this.#random = createRandom(seed)
  }

  get name(): string {
    const { form, query, include, shard } = this.#following
    return `${form} ${query}${include ? ` include=${include}` : ''}${shard ? ` shard=${shard}` : ''}`
  }

  /** Exports again and again until the storm is over. */
  async follow(): Promise<void> {
    while (!this.#world.storm.aborted) {
      await this.#export()
      await sleep(this.#random.int(150, 900), undefined, { signal: this.#world.storm }).catch(() => {})
    }
  }

  /**
   * Exports once and returns the status. If the response cannot be applied, it is reported, and the follower starts
   * from scratch.
   */
  async #export(full = false, held = this.#held): Promise<number> {
    const { report, client, replicas } = this.#world
    const { form, query, key, include, shard, byHeader } = this.#following
    const parts = [query, `format=${form}`]
    if (include) parts.push(`include=${include}`)
    if (shard) parts.push(`shard=${shard}`)
    if (full) parts.push('differential=false')
    else if (held.state && !byHeader) parts.push(`base=${held.state}`)
    const answer = await client.ask({
      replica: this.#random.pick(replicas),
      key,
      path: `/v1/users/export?${parts.join('&')}`,
      headers: {
        'accept-encoding': this.#random.pick(['identity', 'gzip', 'br']),
        ...(held.state && byHeader && !full && { 'if-none-match': `W/"${held.state}"` }),
      },
      kind: 'export',
    })
    if (answer.status !== 200) {
      if (answer.status === 304) report.count('followed 304')
      return answer.status
    }
    try {
      report.count(`followed ${held.apply(form, answer, shard !== undefined)}`)
    } catch (error) {
      report.finding('delta-exact', `${this.name}: ${(error as Error).message}`)
      this.#held = new Held()
    }
    return answer.status
  }

  /** Once nothing changes, catches up and compares its users with a fresh full export. */
  async settle(): Promise<void> {
    let difference: string | undefined = 'no export was received'
    const isInStep = await eventually(this.#world.report.patience('follower-in-step', CATCH_UP_MS), async () => {
      const fresh = new Held()
      if ((await this.#export()) !== 304 && (await this.#export()) === 0) return false
      if ((await this.#export(true, fresh)) !== 200) return false
      if (fresh.state !== this.#held.state) {
        difference = `the state stays ${this.#held.state} instead of ${fresh.state}`
        return false
      }
      difference = differenceOf(this.#held, fresh)
      return true
    })
    if (!isInStep || difference) {
      this.#world.report.finding('follower-in-step', `${this.name}: ${difference}`)
      this.#held = new Held()
    }
  }
}

export const makeFollowers = (world: World, seed: number) =>
  FOLLOWINGS.map((following, i) => new Follower(world, following, seed + i))
