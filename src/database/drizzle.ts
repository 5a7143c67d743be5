import { createRequire } from 'node:module'

/*
 * The CommonJS build of drizzle. For an ES module, Node reads the package.json to determine the module type, and parses
 * drizzle's 179 KB again for each of 106 files: loading the service took 2.8 s of CPU time, and takes 1.8 s this way
 * (Node 24.21, drizzle-orm 0.45.4). Import drizzle's classes from here: those of the ES modules are different classes.
 */

const require = createRequire(import.meta.url)

export const { and, DrizzleQueryError, eq, inArray, sql } = require('drizzle-orm') as typeof import('drizzle-orm')
export const { drizzle } = require('drizzle-orm/postgres-js') as typeof import('drizzle-orm/postgres-js')
export const {
  bigint,
  boolean,
  check,
  customType,
  foreignKey,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  timestamp,
  unique,
  uniqueIndex,
  uuid,
} = require('drizzle-orm/pg-core') as typeof import('drizzle-orm/pg-core')
