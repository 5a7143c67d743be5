import { foreignKey, integer, jsonb, pgTable, primaryKey, text } from 'drizzle-orm/pg-core'
import { bytewiseText, time } from '../database/columns.ts'
import { pools } from '../pools/tables.ts'
import type { TemplateSettings } from './template-schema.ts'

/** Creation settings by name. The built-in templates are in the code. */
export const templates = pgTable(
  'templates',
  {
    poolId: integer('pool_id').notNull(),
    name: bytewiseText('name').notNull(),
    description: text('description').notNull().default(''),
    /** Only the settings that the template names. The service's current defaults apply to all others. */
    settings: jsonb('settings').$type<TemplateSettings>().notNull(),
    createdAt: time('created_at').notNull().defaultNow(),
    updatedAt: time('updated_at').notNull().defaultNow(),
  },
  (t) => [
    primaryKey({ columns: [t.poolId, t.name] }),
    foreignKey({ name: 'templates_of_pool', columns: [t.poolId], foreignColumns: [pools.id] }).onDelete('cascade'),
  ],
)
