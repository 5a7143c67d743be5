import { PeerError } from '../../src/client/peer.ts'
import { retry } from '../../src/client/retry.ts'
import { suite } from '../suite.ts'

const t = suite()

t.jobs = 4 // the tests wait most of the time

const never = new AbortController().signal

t.test('retryable errors are retried up to maxAttempts, and each pause is at most twice as long', async (t) => {
  const pauses: number[] = []
  let attempts = 0
  const task = () => Promise.reject(new PeerError('unreachable', `attempt ${++attempts}`))
  const onPause = (_: unknown, pauseMs: number) => void pauses.push(pauseMs)
  const options = { maxAttempts: 3, signal: never, onPause, firstPauseMs: 100 }
  await t.rejects(retry(task, options), { message: 'attempt 3' })
  t.equal(attempts, 3)
  t.ok(pauses.length === 2 && pauses.every((pause, i) => pause >= 0 && pause <= 100 * 2 ** i), pauses.join(' '))
})

t.test('an error that is no fault of the peer is not retried', async (t) => {
  const error = new Error('a fault of ours')
  let attempts = 0
  const task = () => {
    attempts++
    return Promise.reject(error)
  }
  await t.rejects(retry(task, { maxAttempts: 5, signal: never }), error)
  t.equal(attempts, 1)
})

t.test('each fault that may pass is retried, and no other', async (t) => {
  const faults = {
    ...{ unreachable: 2, timeout: 2, busy: 2, server_error: 2 },
    ...{ unauthorized: 1, refused: 1, not_understood: 1 },
  }
  for (const [fault, expected] of Object.entries(faults)) {
    let attempts = 0
    const task = () => {
      attempts++
      return Promise.reject(new PeerError(fault as PeerError['fault'], 'no'))
    }
    await t.rejects(retry(task, { maxAttempts: 2, signal: never, firstPauseMs: 1 }), { name: 'PeerError' })
    t.equal(attempts, expected, fault)
  }
})

t.test('a later success is the result, and Retry-After is respected', async (t) => {
  const begun = performance.now()
  const task = (attempt: number) =>
    attempt < 2 ? Promise.reject(new PeerError('busy', 'later', { retryAfterMs: 300 })) : Promise.resolve(attempt)
  t.equal(await retry(task, { maxAttempts: 5, signal: never }), 2)
  t.ok(performance.now() - begun >= 290)
})

t.test('the deadline for all attempts ends a pause', async (t) => {
  const task = () => Promise.reject(new PeerError('busy', 'later', { retryAfterMs: 30_000 }))
  const deadline = new AbortController()
  setTimeout(() => deadline.abort(new Error('deadline')), 100)
  await t.rejects(retry(task, { maxAttempts: 5, signal: deadline.signal }), { message: 'deadline' })
})
