import type { HashSettings } from './hash-password.ts'

/**
 * Milliseconds of one core for one unit of an algorithm's work. Measured in November 2026 on a 2-core machine at work (CPU time of
 * the process, median of three, rounded up): argon2id 31 to 208 ms for 36,000 to 197,000 KiB passes, scrypt 86 to 188 ms for 262,000
 * to 655,000 blocks, bcrypt 21 and 87 ms at costs 8 and 10, pbkdf2 42 ms for 260,000 and 350 to 440 ms for 1,500,000 iterations. So
 * they are right within a factor of two, here and on common servers.
 */
const MS = { argon2id: 0.001_2, scrypt: 0.000_4, bcrypt: 0.1, pbkdf2_sha256: 0.000_25 }

/** Estimates how many milliseconds of one core one hash takes. The work is proportional to the costs; 0 for `none`. */
export function hashCostMs(settings: HashSettings): number {
  switch (settings.algorithm) {
    case 'argon2id':
      return MS.argon2id * settings.memory_kib * settings.iterations
    case 'scrypt':
      return MS.scrypt * settings.n * settings.r * settings.p
    case 'bcrypt':
      return MS.bcrypt * 2 ** settings.cost
    case 'pbkdf2_sha256':
      return MS.pbkdf2_sha256 * settings.iterations
    case 'better_auth':
      return MS.scrypt * 16_384 * 16
    case 'none':
      return 0
  }
}
