import fc from 'fast-check'
import { EMPTY_STATE, isState, statesIn } from '../../src/protocol/state.ts'
import { suite } from '../suite.ts'

const t = suite()

const STATE = `u1-${'0123456789abcdef'.repeat(4)}`

t.test('a state is u1- and 64 lower-case hexadecimal digits', (t) => {
  t.ok(isState(STATE))
  t.ok(isState(EMPTY_STATE))
  for (const text of ['', 'u1-', STATE.slice(1), STATE.slice(0, -1), `${STATE}0`, `${STATE}\n`, ` ${STATE}`]) {
    t.notOk(isState(text), JSON.stringify(text))
  }
  for (const text of [STATE.toUpperCase(), STATE.replace('u1', 'u2'), STATE.replace('f', 'g'), `W/"${STATE}"`]) {
    t.notOk(isState(text), text)
  }
  t.end()
})

t.test('statesIn reads the states in If-None-Match and ignores everything else', (t) => {
  const table: [header: string | undefined, states: string[] | 'any'][] = [
    [undefined, []],
    ['', []],
    ['*', 'any'],
    [' * ', 'any'],
    ['"*"', []],
    [`W/"${STATE}"`, [STATE]],
    [`"${STATE}"`, [STATE]],
    [`W/"${STATE}", "${EMPTY_STATE}"`, [STATE, EMPTY_STATE]],
    [`"xyzzy",W/"${STATE}" , W/"r2d2"`, [STATE]],
    [`"a, b", "${STATE}"`, [STATE]],
    [STATE, [STATE]],
    [`W/${STATE}`, [STATE]],
    [`"${STATE}`, [STATE]],
    [`W/"${STATE}-gzip"`, [STATE]],
    [`"${STATE}-br",${EMPTY_STATE}-zstd , W/${STATE}-deflate`, [STATE, EMPTY_STATE, STATE]],
    [`"${STATE}-rar"`, []],
    [`"${STATE}-gzip-gzip"`, []],
    [`"a,${STATE},b"`, []],
    [`x${STATE}`, []],
    [`W/"u1-${'0'.repeat(63)}"`, []],
    [`W/"${STATE} "`, []],
  ]
  for (const [header, states] of table) t.strictSame(statesIn(header), states, `${header}`)
  t.end()
})

t.test('statesIn finds every state among other tags', (t) => {
  const state = fc.stringMatching(/^u1-[0-9a-f]{64}$/)
  const tag = fc.stringMatching(/^[!#-~]{0,10}$/)
  fc.assert(
    fc.property(fc.array(fc.oneof(state, tag), { maxLength: 5 }), fc.boolean(), (tags, weak) => {
      const header = tags.map((each) => `${weak ? 'W/' : ''}"${each}"`).join(', ')
      t.strictSame(statesIn(header), tags.filter(isState))
    }),
    { numRuns: 50 },
  )
  t.end()
})
