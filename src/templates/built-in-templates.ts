import { DEFAULT_USERS } from '../batches/batch-config.ts'
import type { TemplateSettings } from './template-schema.ts'

interface BuiltInTemplate {
  name: string
  description: string
  config: TemplateSettings
}

/** The templates that every pool has, by name. They contain no password: each batch gets its own. */
export const BUILT_IN: readonly BuiltInTemplate[] = frozen([
  {
    name: 'admin',
    description: 'Administrators with all permissions',
    config: {
      username_pattern: 'admin_{id}@example.com',
      email_domain: 'example.com',
      role: 'admin',
      custom_attributes: { is_admin: true, permissions: ['read', 'write', 'admin'] },
    },
  },
  {
    name: 'default',
    description: 'Ordinary users. The default for a batch that names no template',
    config: DEFAULT_USERS,
  },
  {
    name: 'load_test',
    description: 'Users of load tests',
    config: {
      username_pattern: 'loadtest_{id}@loadtest.test',
      email_domain: 'loadtest.test',
      role: 'user',
      custom_attributes: { test_type: 'load', auto_cleanup: true },
    },
  },
  {
    name: 'performance_test',
    description: 'Users of performance tests',
    config: {
      username_pattern: 'perftest_{id}@perftest.test',
      email_domain: 'perftest.test',
      role: 'user',
      custom_attributes: { test_type: 'performance', auto_cleanup: true, priority: 'high' },
    },
  },
  {
    name: 'security_test',
    description: 'Users of security tests',
    config: {
      username_pattern: 'sectest_{id}@sectest.test',
      email_domain: 'sectest.test',
      role: 'user',
      custom_attributes: { test_type: 'security', auto_cleanup: true, security_level: 'high' },
    },
  },
])

export const isBuiltIn = (name: string) => BUILT_IN.some((template) => template.name === name)

/** Every request shares one object, so it is frozen, together with everything in it. */
function frozen<Value extends object>(value: Value): Value {
  for (const member of Object.values(value)) if (typeof member === 'object') frozen(member)
  return Object.freeze(value)
}
