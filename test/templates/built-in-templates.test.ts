import { readConfig } from '../../src/config/config.ts'
import { BUILT_IN, isBuiltIn } from '../../src/templates/built-in-templates.ts'
import { settingsCheck, settingsValidator } from '../../src/templates/settings.ts'
import { suite } from '../suite.ts'

const t = suite()

const config = readConfig({})

t.test('the built-in templates are these', (t) => {
  const names = BUILT_IN.map(({ name }) => name)
  t.strictSame(names, ['admin', 'default', 'load_test', 'performance_test', 'saas', 'security_test', 'shop'])
  for (const name of names) t.ok(isBuiltIn(name))
  t.notOk(isBuiltIn('load'))
  t.notOk(isBuiltIn('constructor'))
  t.end()
})

t.test('each built-in template is valid, without warnings', (t) => {
  for (const { name, config: settings, description } of BUILT_IN) {
    t.equal(settingsCheck(config)(settings), settings, name)
    t.match(settingsValidator(config)(settings), { is_valid: true, errors: [], warnings: [] }, name)
    t.ok(description)
  }
  t.end()
})

t.test('the built-in templates are frozen', (t) => {
  const deep = (value: unknown): boolean =>
    typeof value !== 'object' || value === null || (Object.isFrozen(value) && Object.values(value).every(deep))
  t.ok(deep(BUILT_IN))
  t.end()
})
