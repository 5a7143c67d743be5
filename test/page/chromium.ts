import { debianProgram } from '../faults/debian-program.ts'

/** Debian's chromium, or the browser that CHROMIUM names. Undefined: the tests of the page are skipped. */
export const CHROMIUM = process.env['CHROMIUM'] ?? debianProgram('chromium')
