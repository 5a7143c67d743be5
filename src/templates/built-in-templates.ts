import { DEFAULT_USERS } from '../batches/batch-config.ts'
import type { TemplateSettings } from './template-schema.ts'

/** Names of tenants. The first are the largest. */
const TENANTS = [
  'north',
  'harbor',
  'atlas',
  'maple',
  'summit',
  'river',
  'orbit',
  'cedar',
  'lumen',
  'delta',
  'quartz',
  'meadow',
]

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
    name: 'saas',
    description: 'Members of the tenants of a SaaS application: few large and many small tenants, plans, seats, trials',
    config: {
      username_pattern: '{first}.{last}.{id}@{tenant}.example.com',
      email_domain: 'example.com',
      role: { $choice: { member: 85, admin: 10, owner: 5 } },
      custom_attributes: {
        first: { $name: 'first' },
        last: { $name: 'last' },
        full_name: { $template: '{first} {last}' },
        tenant: { $zipf: { of: TENANTS, s: 1.1 } },
        plan: { $choice: { free: 60, team: 30, enterprise: 10 } },
        seats: { $case: 'plan', when: { enterprise: { $int: [50, 500] }, team: { $int: [3, 50] } }, else: 1 },
        trial_ends: { $maybe: 0.1, of: { $date: ['2026-01-01', '2026-12-31'] } },
        sso: { $case: 'plan', when: { enterprise: { $bool: 0.8 } }, else: false },
        signed_up_at: { $date: ['2021-01-01', '2026-01-01'], as: 'timestamp' },
      },
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
  {
    name: 'shop',
    description: 'Customers of a shop: names, addresses, loyalty, carts; most have ordered little and a few a lot',
    config: {
      username_pattern: '{first}.{last}.{id}@shop.example.com',
      email_domain: 'shop.example.com',
      role: 'user',
      custom_attributes: {
        first: { $name: 'first' },
        last: { $name: 'last' },
        phone: { $maybe: 0.7, of: { $phone: true } },
        address: {
          street: { $place: 'street' },
          postcode: { $place: 'postcode' },
          city: { $place: 'city' },
        },
        birthday: { $date: ['1945-01-01', '2007-12-31'] },
        loyalty: { $choice: { none: 60, silver: 28, gold: 10, platinum: 2 } },
        orders: { $zipf: { of: [0, 1, 2, 3, 5, 8, 13, 21, 34, 55], s: 1.1 } },
        balance: { $decimal: [0, 499.99, 2] },
        cart: { $list: { sku: { $pattern: '[A-Z]{3}-[0-9]{5}' }, quantity: { $int: [1, 5] } }, length: [0, 3] },
        newsletter: { $bool: 0.3 },
      },
    },
  },
])

export const isBuiltIn = (name: string) => BUILT_IN.some((template) => template.name === name)

/** Every request shares one object, so it is frozen, together with everything in it. */
function frozen<Value extends object>(value: Value): Value {
  for (const member of Object.values(value)) if (typeof member === 'object') frozen(member)
  return Object.freeze(value)
}
