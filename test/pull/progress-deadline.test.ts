import { getEventListeners } from 'node:events'
import { mock } from 'node:test'
import { Stopped } from '../../src/process/shutdown.ts'
import { exitCodeOf } from '../../src/pull/cli.ts'
import { progressDeadline } from '../../src/pull/progress-deadline.ts'
import { suite } from '../suite.ts'

const t = suite()

t.test('a round has as long as it makes progress', (t) => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const stop = new AbortController()
  {
    using deadline = progressDeadline(stop.signal)
    for (let round = 0; round < 10; round++) {
      for (let second = 0; second < 599; second++) {
        mock.timers.tick(1_000)
        deadline.received(20_000)
      }
      t.notOk(deadline.signal.aborted, `${round}`)
    }
    mock.timers.tick(600_000)
    t.match(deadline.signal.reason, { name: 'TimeoutError', message: 'less than 10 MB arrived in 10 minutes' })
    t.equal(exitCodeOf(deadline.signal.reason), 3)
  }
  t.equal(getEventListeners(stop.signal, 'abort').length, 0, 'rounds leave nothing at the signal of the program')
  t.end()
})

t.test('a signal ends a round', (t) => {
  const stop = new AbortController()
  using before = progressDeadline(stop.signal)
  stop.abort(new Stopped('SIGTERM'))
  using after = progressDeadline(stop.signal)
  for (const { signal } of [before, after]) t.equal(signal.reason, stop.signal.reason)
  t.end()
})
