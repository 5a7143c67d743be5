import rateLimit from '@fastify/rate-limit'
import underPressure from '@fastify/under-pressure'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import plugin from 'fastify-plugin'
import { retryLater } from '../errors.ts'
import type { MemoryGuard } from '../process/memory-guard.ts'
import { isProbe } from './request-log.ts'

/** The longest time for which more urgent work delays queued work. */
const MAX_YIELD_MS = 100

/**
 * Starts at most `most` tasks per event-loop tick and queues the rest in order. Between ticks the loop handles network events, so
 * health checks, which skip the queue, wait for `most` tasks, not for all. If something more urgent came (`cameUrgent`, called
 * once per tick), the tick starts no queued task, for a tenth of a second at most. If `maxWaiting` tasks are queued, a further
 * one starts at once: a single connection can send requests faster than they start.
 */
export function createTickLimiter(
  most: number,
  maxWaiting: number,
  cameUrgent: () => boolean,
): (begin: () => void) => void {
  const waiting: (() => void)[] = []
  let begun = 0
  let lastBegin = 0
  const startNext = () => {
    const urgent = cameUrgent()
    if (waiting.length === 0) {
      begun = 0
      return
    }
    setImmediate(startNext)
    begun = most
    if (urgent && performance.now() - lastBegin < MAX_YIELD_MS) return
    lastBegin = performance.now()
    begun = Math.min(most, waiting.length)
    for (const begin of waiting.splice(0, begun)) begin()
  }
  return (begin) => {
    if (begun >= most) {
      if (waiting.length >= maxWaiting) return begin()
      const { promise, resolve } = Promise.withResolvers<void>()
      void promise.then(begin) // keeps the async context of the task, as AsyncLocalStorage.bind does for 1.5 µs
      waiting.push(resolve)
      return
    }
    if (begun === 0) {
      lastBegin = performance.now()
      setImmediate(startNext)
    }
    begun++
    begin()
  }
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route starts work that uses memory for a while. It is rejected while memory is above its limit. */
    work?: true
  }
}

/** Rejects new work with `overloaded` while memory is above its limit. Cheap requests still pass. */
export const refuseUnderMemoryPressure = plugin<{ memory: MemoryGuard }>(
  (app: FastifyInstance, { memory }, done) => {
    app.addHook('onRequest', (request, _reply, next) => {
      if (!memory.isOver() || !request.routeOptions.config.work) return next()
      next(retryLater('overloaded', 'Memory is above its limit. Accepted work continues; try again.', 5))
    })
    done()
  },
  { name: 'memory-pressure', dependencies: ['error-responses'] },
)

interface OverloadOptions {
  /** Maximum number of requests in progress. */
  maxRequests: number
  /** Requests per minute of one key, or of one address if no key is configured. 0: no limit. */
  rateLimit: number
  /** Mean event-loop delay over one sample above which work is rejected. */
  maxDelayMs?: number
  /** Sample interval of the event-loop delay. */
  sampleMs?: number
}

/** A single key leaves a quarter of the places to other keys. */
const SHARE_OF_A_KEY = 0.75

/** Starting a cached export takes 0.3 to 0.5 ms, so this many take about 15 ms. */
const REQUESTS_A_TICK = 32

/**
 * A rejection takes about 60 µs, so this many take about 6 ms. At 10,000 requests at once, 8,000 rejections in one tick delayed
 * health checks by 0.6 s.
 */
const REFUSALS_A_TICK = 100
const MAX_REFUSALS_WAITING = 10_000

/**
 * Rejects what the process has no room for: requests beyond the maximum in progress, and all requests while the event loop is far
 * behind (503 `overloaded`); requests beyond a key's share, in progress or per minute (429 `rate_limited`, for the minute with the
 * RateLimit headers of the IETF draft). Health checks always pass and never queue behind other work: an orchestrator without a
 * response would kill a process that is only busy.
 */
export const overload = plugin<OverloadOptions>(
  async (app: FastifyInstance, { maxRequests, rateLimit: perMinute, maxDelayMs = 5_000, sampleMs = 1_000 }) => {
    let inProgress = 0
    const inProgressOf = new Map<string, number>()
    const maxRequestsOfKey = Math.ceil(maxRequests * SHARE_OF_A_KEY)
    // An event-loop tick accepts a single connection (libuv 1.45 and later), so new connections waited long if every tick did work.
    // At 10,000 requests at once, a probe on its own connection waited 3.8 s; with connections before work, 0.8 to 1.5 s.
    let connected = false
    app.server.on('connection', () => {
      connected = true
    })
    const startInTick = createTickLimiter(REQUESTS_A_TICK, maxRequests, () => {
      const cameUrgent = connected
      connected = false
      return cameUrgent
    })
    const refuseInTick = createTickLimiter(REFUSALS_A_TICK, MAX_REFUSALS_WAITING, () => false)
    app.addHook('onRequest', (request, reply, next) => {
      if (!isWork(request)) return next()
      const keyName = request.apiKey?.name
      const ofKey = keyName === undefined ? 0 : (inProgressOf.get(keyName) ?? 0)
      if (inProgress >= maxRequests) return refuseInTick(() => next(full))
      if (ofKey >= maxRequestsOfKey) return refuseInTick(() => next(fullForKey))
      inProgress++
      if (keyName !== undefined) inProgressOf.set(keyName, ofKey + 1)
      reply.raw.on('close', () => {
        inProgress--
        if (keyName !== undefined) inProgressOf.set(keyName, (inProgressOf.get(keyName) ?? 1) - 1)
      })
      startInTick(next)
    })
    // The first sample covers the start itself, which takes seconds on a busy machine, and before it @fastify/under-pressure 9.2.0
    // reports an infinite delay.
    let measuredFrom = Number.POSITIVE_INFINITY
    app.addHook('onListen', (done) => {
      measuredFrom = performance.now() + 2 * sampleMs
      done()
    })
    await app.register(underPressure, {
      maxEventLoopDelay: maxDelayMs,
      sampleInterval: sampleMs,
      pressureHandler(request, _reply, _type, delay) {
        // Infinite means no measurement since the last sample: two tasks of a second each, such as hashes, are not far behind.
        if (isWork(request) && delay !== Number.POSITIVE_INFINITY && performance.now() >= measuredFrom) throw behind
      },
    })
    if (perMinute === 0) return
    await app.register(rateLimit, {
      global: false,
      max: perMinute,
      timeWindow: 60_000,
      enableDraftSpec: true,
      cache: 10_000, // counted keys and addresses; evicts the oldest
      allowList: isHealth,
      keyGenerator: ({ apiKey, ip }) => apiKey?.name ?? ip,
      errorResponseBuilder(_request, { max, ttl }) {
        const seconds = Math.ceil(ttl / 1000)
        const detail = `A key, or an address without a valid key, may send ${max} requests a minute. Wait ${seconds} s.`
        return retryLater('rate_limited', detail, seconds)
      },
    })
    // The plugin's own hooks are per route: they would run after the key is rejected, and never for unknown paths.
    app.addHook('onRequest', app.rateLimit())
  },
  { name: 'overload', dependencies: ['authentication'] },
)

/** All routes but health and metrics, which show what is wrong while everything else is rejected. */
const isWork = (request: FastifyRequest) => !isProbe(request)

const isHealth = (request: FastifyRequest) => isProbe(request) && request.routeOptions.url !== '/metrics'

// Created once: the stack trace is a seventh of the cost of a rejection, and rejections come in thousands.
const full = retryLater('overloaded', 'The maximum number of requests is in progress. Try again.', 1)
const fullForKey = retryLater('rate_limited', 'The key has too many requests in progress. Try again.', 1)
const behind = retryLater('overloaded', 'The event loop is too far behind. Try again.', 1)
