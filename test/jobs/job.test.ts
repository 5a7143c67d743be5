import { connect } from '../../src/database/connection.ts'
import { JobFailure, untilEnded } from '../../src/jobs/job.ts'
import { suite } from '../suite.ts'

const t = suite()

/** Fails as every statement does while the database is away. */
const away = connect({ url: 'postgres://127.0.0.1:1/none', schema: 'x', connections: 1, name: 'test', waitMs: 50 })
t.teardown(() => away.end({ timeout: 0 }))

const UNFINISHED = { finished_at: null }
const FINISHED = { finished_at: '2026-01-31T00:00:00Z' }

t.test('a job waits for the end, also while the database is away', async (t) => {
  const reads = [() => away`select`, () => UNFINISHED, () => away`select`, () => FINISHED]
  const read = async () => (await reads.shift()?.()) as typeof FINISHED
  t.equal(await untilEnded(read, new AbortController().signal), FINISHED)
  t.same(reads, [])
})

t.test('a job does not wait after any other error, or after a signal', async (t) => {
  const gone = new Error('gone')
  await t.rejects(
    untilEnded(() => Promise.reject(gone), new AbortController().signal),
    gone,
  )
  const stop = new AbortController()
  const read = () => {
    stop.abort(new JobFailure('ended by SIGTERM'))
    return Promise.resolve(UNFINISHED)
  }
  await t.rejects(untilEnded(read, stop.signal), { name: 'JobFailure', message: 'ended by SIGTERM' })
})
