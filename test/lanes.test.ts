import { globSync } from 'node:fs'
import { filesOf, LANES, suite } from './suite.ts'

const t = suite()

t.test('every test file runs in exactly one lane, and every lane has a process', (t) => {
  const lanes = Object.keys(LANES) as (keyof typeof LANES)[]
  const cwd = import.meta.dirname
  t.strictSame(lanes.flatMap(filesOf).toSorted(), globSync('{*,!(lanes)/**/*}.test.ts', { cwd }).toSorted())
  t.strictSame(globSync('lanes/*.test.ts', { cwd }).toSorted(), lanes.map((lane) => `lanes/${lane}.test.ts`).toSorted())
  t.end()
})
