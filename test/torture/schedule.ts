import { actorAction, siege } from './actor-action.ts'
import type { Action, Event } from './events.ts'
import { createRandom, type Random } from './random.ts'

/**
 * All events of a run. A round has a random subset of the kinds of faults, so that one does not hide another ("swarm
 * testing", Groce and others, 2012).
 */
export function makeSchedule(seed: number, rounds: number, stormMs: number): Event[] {
  const random = createRandom(seed)
  const events: Event[] = []
  for (let round = 0; round < rounds; round++) {
    const lane = (next: () => { gap: number; busy: number; action: Action }) => {
      for (let at = 500; at < stormMs; ) {
        const { gap, busy, action } = next()
        at += gap
        if (at < stormMs) events.push({ round, at: Math.round(at), seed: random.int(1, 0x7fffffff), ...action })
        at += busy
      }
    }
    lane(() => ({ gap: random.int(80, 800), busy: 0, action: actorAction(random) }))
    if (random.chance(0.6)) lane(() => ({ gap: random.int(200, 3_000), busy: 0, action: siege(random) }))
    const meanGap = random.pick([4_000, 8_000, 16_000])
    for (const makeFault of [databaseFault, processFault, targetFault]) {
      if (random.chance(0.35)) continue
      lane(() => {
        const action = makeFault(random)
        return { gap: random.int(500, 2 * meanGap), busy: 'ms' in action ? action.ms : 2_000, action }
      })
    }
  }
  return events.sort((a, b) => a.round - b.round || a.at - b.at)
}

/** Most faults are short. Some are longer than the service waits for a connection, a lock or a lease. */
const duration = (random: Random) =>
  random.weighted({ short: 5, long: 4 }) === 'short' ? random.int(300, 4_000) : random.int(8_000, 15_000)

function databaseFault(random: Random): Action {
  const kind = random.weighted({ databaseWay: 6, restartDatabase: 1, killDatabase: 2 })
  if (kind === 'restartDatabase') return { kind }
  if (kind === 'killDatabase') return { kind, ms: duration(random) }
  return { kind, manner: random.weighted({ delay: 2, cut: 2, swallow: 2, refuse: 3 }), ms: duration(random) }
}

function processFault(random: Random): Action {
  const kind = random.weighted({ killReplica: 3, stopReplica: 3, endReplica: 2, killPull: 3 })
  if (kind === 'killPull') return { kind, pull: random.int(0, 1) }
  return { kind, replica: random.int(0, 1), ms: duration(random) }
}

function targetFault(random: Random): Action {
  return {
    kind: 'targetWay',
    manner: random.weighted({ delay: 5, cut: 2, swallow: 2, refuse: 2 }),
    ms: duration(random),
  }
}
