import { defineConfig } from 'drizzle-kit'

/**
 * For `npx drizzle-kit generate --config src/database/drizzle.config.ts`; paths are relative to the project.
 * Hand-written migrations contain what drizzle-kit cannot write, or writes with the schema `public`: sequences, foreign
 * keys, functions, triggers, and the unlogged table `part_changes`. `pool_id` is first in every key, so that the tables
 * can be distributed by pool.
 */
export default defineConfig({ dialect: 'postgresql', schema: './src/database/tables/*.ts', out: './migrations' })
