import { preferredWait } from '../../src/batches/routes.ts'
import { suite } from '../suite.ts'

const t = suite()

t.test('preferredWait reads the seconds of Prefer: wait, at most 60', (t) => {
  const table: [header: string | string[] | undefined, seconds: number][] = [
    ['wait=10', 10],
    ['WAIT=10', 10],
    ['wait = 10', 10],
    ['wait="10"', 10],
    ['respond-async, wait=10', 10],
    ['wait=10, respond-async', 10],
    [['respond-async', 'wait=10'], 10],
    ['wait=0', 0],
    ['wait=60', 60],
    ['wait=61', 60],
    ['wait=99999999999999999999', 60],
  ]
  for (const [header, seconds] of table) t.equal(preferredWait(header), seconds, `${header}`)
  t.end()
})

t.test('preferredWait ignores anything else', (t) => {
  for (const header of [undefined, '', 'wait', 'wait=', 'wait=-5', 'wait=1.5', 'wait=ten', 'await=5', 'wait=5s']) {
    t.equal(preferredWait(header), 0, `${header}`)
  }
  t.end()
})
