import { createRequestIds } from '../../src/http/request-log.ts'
import { suite } from '../suite.ts'

const t = suite()

t.test('no id is given twice, by one process or by several', (t) => {
  const processes = Array.from({ length: 20 }, createRequestIds)
  const ids = processes.flatMap((next) => Array.from({ length: 100 }, next))
  t.equal(new Set(ids).size, ids.length)
  t.end()
})
