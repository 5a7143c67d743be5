import type { FastifyInstance } from 'fastify'
import plugin from 'fastify-plugin'
import { retryLater } from '../errors.ts'

interface AnswerBudgetOptions {
  /** How long a response waits for budget before it is rejected. */
  waitMs: number
  totalBytes: number
  /** How long a client may read nothing of a response before its connection is closed. */
  idleMs?: number
}

/** Smaller responses are not counted: MAX_REQUESTS of them are 128 MiB, and most fit into the socket buffers. */
const SMALL_BYTES = 65_536

const IDLE_MS = 30_000

/**
 * Bounds the memory of complete response texts that clients have not read yet. One key, or one address without keys, has half of
 * `totalBytes`. A further response waits up to `waitMs`. Waiting responses are limited too: a quarter of `totalBytes` in total,
 * or a single one. Beyond these limits the response is replaced by 503 `overloaded`. The response to a change is counted but
 * never rejected, since the change is committed. Streams are not counted: they are produced at the client's pace.
 */
export const answerBudget = plugin<AnswerBudgetOptions>(
  (app: FastifyInstance, { waitMs, totalBytes, idleMs = IDLE_MS }, done) => {
    const budget = createBudget(totalBytes, waitMs)
    // Runs after the hook that sets `plainBytes`, and before compression turns the text into a stream.
    app.addHook('onSend', (request, reply, payload, next) => {
      const { raw, plainBytes = 0 } = reply
      if (plainBytes <= SMALL_BYTES) return next(null, payload)
      const holder = request.apiKey?.name ?? request.ip
      const send = (giveBack: () => void) => {
        if (raw.destroyed) giveBack()
        else raw.once('close', giveBack)
        raw.socket?.setTimeout(idleMs) // Node restores its own timeout when the response is sent
        next(null, payload)
      }
      if (request.method !== 'GET') return send(budget.take(holder, plainBytes))
      budget.acquire(holder, plainBytes).then(send, next)
    })
    done()
  },
  { name: 'answer-budget', dependencies: ['request-metrics', 'authentication'] },
)

interface Waiting {
  holder: string
  bytes: number
  admit: () => void
}

/** Counts bytes by holder. A response larger than its holder's share passes if the holder has no other. */
export function createBudget(totalBytes: number, waitMs: number) {
  const heldBytes = new Map<string, number>()
  const waiting: Waiting[] = []
  let total = 0
  let waitingBytes = 0

  const fits = (holder: string, bytes: number) => {
    const own = heldBytes.get(holder) ?? 0
    return own === 0 || (own + bytes <= totalBytes / 2 && total + bytes <= totalBytes)
  }
  const take = (holder: string, bytes: number) => {
    total += bytes
    heldBytes.set(holder, (heldBytes.get(holder) ?? 0) + bytes)
    return () => {
      total -= bytes
      const left = (heldBytes.get(holder) ?? 0) - bytes
      if (left > 0) heldBytes.set(holder, left)
      else heldBytes.delete(holder)
      for (const next of [...waiting]) if (fits(next.holder, next.bytes)) next.admit()
    }
  }
  const refusal = () =>
    retryLater('overloaded', 'Too many large answers wait for their clients to read them. Try again.', 5)

  return {
    /** Takes the bytes at once. Returns the function that releases them; call it once. */
    take,
    /** Takes the bytes as soon as the budget has room. Throws `overloaded`. */
    acquire(holder: string, bytes: number): Promise<() => void> {
      if (fits(holder, bytes)) return Promise.resolve(take(holder, bytes))
      if (waitingBytes > 0 && waitingBytes + bytes > totalBytes / 4) return Promise.reject(refusal())
      const { promise, resolve, reject } = Promise.withResolvers<() => void>()
      const leaveLine = () => {
        clearTimeout(timer)
        waiting.splice(waiting.indexOf(entry), 1)
        waitingBytes -= bytes
      }
      const entry: Waiting = {
        holder,
        bytes,
        admit() {
          leaveLine()
          resolve(take(holder, bytes))
        },
      }
      const timer = setTimeout(() => {
        leaveLine()
        reject(refusal())
      }, waitMs)
      waiting.push(entry)
      waitingBytes += bytes
      return promise
    },
  }
}
