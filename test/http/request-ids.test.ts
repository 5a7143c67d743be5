import { createRequestIds } from '../../src/http/request-log.ts'
import { suite } from '../suite.ts'

const t = suite()

t.test('request ids are unique within and across processes', (t) => {
  const processes = Array.from({ length: 20 }, createRequestIds)
  const ids = processes.flatMap((next) => Array.from({ length: 100 }, next))
  t.equal(new Set(ids).size, ids.length)
  t.end()
})
