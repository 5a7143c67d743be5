import { defineConfig } from 'drizzle-kit'

/** For `npx drizzle-kit generate --config src/database/drizzle.config.ts`; paths are relative to the project. */
export default defineConfig({ dialect: 'postgresql', schema: './src/database/tables.ts', out: './migrations' })
