import { debianProgram } from '../faults/debian-program.ts'

/**
 * Debian's chromium-headless-shell, which takes half of the CPU time of its chromium, or the browser that CHROMIUM names. Undefined: the
 * tests of the page are skipped.
 */
export const CHROMIUM = process.env['CHROMIUM'] ?? debianProgram('chromium-headless-shell') ?? debianProgram('chromium')
