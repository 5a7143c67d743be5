import type { Batch } from '../../src/batches/batches.ts'
import type { Template } from '../../src/templates/templates.ts'
import type { Service } from '../http/service.ts'

export interface TemplatePage {
  items: Template[]
  next_cursor: string | null
}

export const SHOP = {
  username_pattern: 'shop_{id}@shop.test',
  role: 'buyer',
  custom_attributes: { plan: 'gold', 'two\nlines': 2, depth: { of: [1, 'ü', null] } },
  password_hash: { algorithm: 'none' },
  chunk_size: 3,
} as const

export const BUILT_IN = ['admin', 'default', 'load_test', 'performance_test', 'saas', 'security_test', 'shop']

/** Creates, replaces and lists templates of a service, and batches from them. */
export const templateClient = ({ call }: Pick<Service, 'call'>) => ({
  create: (name: string, config: object = SHOP, pool?: string) =>
    call<Template>('POST', '/v1/templates', { body: { name, config, ...(pool && { pool }) } }),

  put: (name: string, config: object, description?: string) =>
    call<Template>('PUT', `/v1/templates/${name}`, { body: { config, ...(description && { description }) } }),

  makePool: (name: string) => call('POST', '/v1/pools', { body: { name } }),

  /** The names of the built-in templates and the pool's own. */
  namesIn: async (pool: string) =>
    (await call<TemplatePage>('GET', `/v1/templates?limit=1000&pool=${pool}`)).json.items.map(({ name }) => name),

  makeBatch: (body: object, headers: Record<string, string> = {}) =>
    call<Batch>('POST', '/v1/batches', { body, headers: { prefer: 'wait=30', ...headers } }),
})
