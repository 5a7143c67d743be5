import { AsyncLocalStorage } from 'node:async_hooks'
import rateLimit from '@fastify/rate-limit'
import underPressure from '@fastify/under-pressure'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import plugin from 'fastify-plugin'
import { Problem } from '../errors.ts'
import type { MemoryGuard } from '../process/memory-guard.ts'
import { isProbe } from './request-log.ts'

/** For so long work that waits is put off at the most by what is more urgent. */
const LONGEST_YIELD_MS = 100

/**
 * Begins at most `most` pieces of work in one turn of the event loop, and the others, in their order, in the turns after it.
 * Between turns the loop takes what has come over the network, so that whatever is not sent through here (health) waits for
 * `most` pieces and not for all. A turn in which something more urgent came (`cameUrgent`, asked once a turn) begins none of
 * those that wait, for a tenth of a second at the most. Where `mostWaiting` wait already, a further one begins at once: a single
 * connection can send requests faster than they are begun.
 */
export function createTurns(most: number, mostWaiting: number, cameUrgent: () => boolean): (begin: () => void) => void {
  const waiting: (() => void)[] = []
  let begun = 0
  let lastBegin = 0
  const nextTurn = () => {
    const urgent = cameUrgent()
    if (waiting.length === 0) {
      begun = 0
      return
    }
    setImmediate(nextTurn)
    begun = most
    if (urgent && performance.now() - lastBegin < LONGEST_YIELD_MS) return
    lastBegin = performance.now()
    begun = Math.min(most, waiting.length)
    for (const begin of waiting.splice(0, begun)) begin()
  }
  return (begin) => {
    if (begun >= most) {
      if (waiting.length < mostWaiting) waiting.push(AsyncLocalStorage.bind(begin))
      else begin()
      return
    }
    if (begun === 0) {
      lastBegin = performance.now()
      setImmediate(nextTurn)
    }
    begun++
    begin()
  }
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route begins work that takes memory for a while: it is refused while there is too little. */
    work?: true
  }
}

/** Refuses new work while memory is above its limit, at once and saying so; what is cheap goes on. */
export const workAdmission = plugin<{ memory: MemoryGuard }>(
  (app: FastifyInstance, { memory }, done) => {
    app.addHook('onRequest', (request, _reply, next) => {
      if (!memory.isOver() || !request.routeOptions.config.work) return next()
      const headers = { 'retry-after': '5' }
      next(
        new Problem('overloaded', 'Memory is above its limit. Work that was accepted goes on; try again.', { headers }),
      )
    })
    done()
  },
  { name: 'work-admission', dependencies: ['error-answers'] },
)

interface OverloadOptions {
  /** Requests in progress at once. */
  maxRequests: number
  /** Requests a minute of one key, or of one address where no key is configured; 0: without a limit. */
  rateLimit: number
  /** Mean delay of the event loop, over a second, above which work is refused. */
  maxDelayMs?: number
}

/** A single key leaves a quarter of the places to the others. */
const SHARE_OF_A_KEY = 0.75

/** An export from the cache begins in 0.3 to 0.5 ms: so many take some 15 ms. */
const REQUESTS_A_TURN = 32

/** A refusal takes some 60 µs: so many take some 6 ms. All 8,000 of 10,000 at once in a turn kept health waiting for 0.6 s. */
const REFUSALS_A_TURN = 100
const MOST_REFUSALS_WAITING = 10_000

/**
 * How long the delay of the event loop is measured for a mean. The first that was measured is that of the start itself, seconds
 * on a busy machine, and before it @fastify/under-pressure 9.2.0 tells an infinite one.
 */
const SAMPLE_MS = 1_000

/**
 * Refuses at once what the process has no room for: more requests than it may have in progress, and any while its event loop
 * is far behind (503 `overloaded`); more of one key than its share, in progress or a minute (429 `rate_limited`, for the minute
 * with the RateLimit headers of the IETF draft). Health is always answered, and never behind all the work that came at once: an
 * orchestrator that hears nothing would kill what is only busy.
 */
export const overload = plugin<OverloadOptions>(
  async (app: FastifyInstance, { maxRequests, rateLimit: perMinute, maxDelayMs = 5_000 }) => {
    let inProgress = 0
    const inProgressOf = new Map<string, number>()
    const maxRequestsOfKey = Math.ceil(maxRequests * SHARE_OF_A_KEY)
    // A turn of the event loop accepts a single connection (libuv 1.45 and later), so with work in each a new one waited long: at
    // 10,000 requests at once a probe of its own connection waited 3.8 s, and 0.8 to 1.5 s where connections go before work.
    let connected = false
    app.server.on('connection', () => {
      connected = true
    })
    const inTurn = createTurns(REQUESTS_A_TURN, maxRequests, () => {
      const cameUrgent = connected
      connected = false
      return cameUrgent
    })
    const refuseInTurn = createTurns(REFUSALS_A_TURN, MOST_REFUSALS_WAITING, () => false)
    app.addHook('onRequest', (request, reply, next) => {
      if (!isWork(request)) return next()
      const keyName = request.apiKey?.name
      const ofKey = keyName === undefined ? 0 : (inProgressOf.get(keyName) ?? 0)
      if (inProgress >= maxRequests) return refuseInTurn(() => next(full))
      if (ofKey >= maxRequestsOfKey) return refuseInTurn(() => next(fullForKey))
      inProgress++
      if (keyName !== undefined) inProgressOf.set(keyName, ofKey + 1)
      reply.raw.on('close', () => {
        inProgress--
        if (keyName !== undefined) inProgressOf.set(keyName, (inProgressOf.get(keyName) ?? 1) - 1)
      })
      inTurn(next)
    })
    let measuredFrom = Number.POSITIVE_INFINITY
    app.addHook('onListen', (done) => {
      measuredFrom = performance.now() + 2 * SAMPLE_MS
      done()
    })
    await app.register(underPressure, {
      maxEventLoopDelay: maxDelayMs,
      sampleInterval: SAMPLE_MS,
      pressureHandler(request, _reply, _type, delay) {
        // Infinite where nothing was measured since the last sample: twice held up for a second, as by a hash, is not far behind.
        if (isWork(request) && delay !== Number.POSITIVE_INFINITY && performance.now() >= measuredFrom) throw behind
      },
    })
    if (perMinute === 0) return
    await app.register(rateLimit, {
      global: false,
      max: perMinute,
      timeWindow: 60_000,
      enableDraftSpec: true,
      cache: 10_000, // keys and addresses that are counted; the oldest goes
      allowList: isHealth,
      keyGenerator: ({ apiKey, ip }) => apiKey?.name ?? ip,
      errorResponseBuilder: (_request, { max, ttl }) =>
        new Problem(
          'rate_limited',
          `A key, or an address without a valid key, may send ${max} requests a minute. Wait ${Math.ceil(ttl / 1000)} s.`,
        ),
    })
    // The plugin's own hooks are those of each route, which would run after the refusal of a key, and for no unknown path.
    app.addHook('onRequest', app.rateLimit())
  },
  { name: 'overload', dependencies: ['authentication'] },
)

/** All but health and metrics, which tell what is wrong while everything else is refused. */
const isWork = (request: FastifyRequest) => !isProbe(request)

const isHealth = (request: FastifyRequest) => isProbe(request) && request.routeOptions.url !== '/metrics'

// Made once: the stack of an error is a seventh of what a refusal costs, and refusals come by the thousand.
const overloaded = (detail: string) =>
  new Problem('overloaded', `${detail} Try again.`, { headers: { 'retry-after': '1' } })
const full = overloaded('As many requests as it takes are in progress.')
const fullForKey = new Problem('rate_limited', 'The key has too many requests in progress. Try again.', {
  headers: { 'retry-after': '1' },
})
const behind = overloaded('The process is far behind with its work.')
