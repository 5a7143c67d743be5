import { globSync } from 'node:fs'
import { FULL_ONLY, filesOf, LANES, suite } from './suite.ts'

const t = suite()

t.test('every test file runs in exactly one lane, and every lane has a process, in order', (t) => {
  const lanes = Object.keys(LANES) as (keyof typeof LANES)[]
  const cwd = import.meta.dirname
  t.strictSame(lanes.flatMap(filesOf).toSorted(), globSync('{*,!(lanes)/**/*}.test.ts', { cwd }).toSorted())
  const processes = lanes.map((lane, n) => `lanes/${String(n + 1).padStart(2, '0')}-${lane}.test.ts`)
  t.strictSame(globSync('lanes/*.test.ts', { cwd }).toSorted(), processes)
  t.end()
})

t.test('a file that runs at full size only exists, and names its smaller sisters, which run in both sizes', (t) => {
  const files = globSync('**/*.test.ts', { cwd: import.meta.dirname })
  for (const [file, sisters] of Object.entries(FULL_ONLY)) {
    t.ok(files.includes(file), file)
    for (const sister of sisters.split(', ')) {
      const found = files.filter((each) => each.startsWith(sister))
      t.ok(
        found.some((each) => !FULL_ONLY[each]),
        `${file}: ${sister}`,
      )
    }
  }
  t.end()
})
