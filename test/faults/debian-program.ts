import { existsSync } from 'node:fs'
import { join } from 'node:path'

/**
 * The path of a program of Debian; undefined if it is not installed. Programs for administrators are not on every PATH.
 */
export const debianProgram = (name: string): string | undefined =>
  [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin']
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path))
