import { defineConfig } from 'drizzle-kit'

/**
 * For `npx drizzle-kit generate`, which compares the tables with the latest snapshot in `migrations/meta` and writes the next
 * migration. Edit what it writes: remove `"public".` from foreign keys, since the schema has the name that DB_SCHEMA says. What
 * drizzle-kit does not know is written by hand: sequences, functions, triggers, fill factors, and the unlogged table
 * `part_changes`.
 */
export default defineConfig({ dialect: 'postgresql', schema: './src/**/tables.ts', out: './migrations' })
