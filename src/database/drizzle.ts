import { createRequire } from 'node:module'

/*
 * What is used of drizzle, by its CommonJS build. Of an ES module Node asks the package.json whether it is one, and parses
 * drizzle's, 179 KB, anew for each of 106 files: loading the service took 2.8 s of processor time, and takes 1.8 s so
 * (Node 24.21, drizzle-orm 0.45.4). Whoever needs a class of drizzle's takes it from here: the ES modules have another one.
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
