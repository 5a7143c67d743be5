import fc from 'fast-check'
import { SYSTEMS } from '../../scripts/password-tables.ts'
import { ALGORITHMS, DEFAULT_COSTS, hashCostMs, withCosts } from '../../src/passwords/hash-password.ts'
import { completeHash, type HashOptions, hashOptions, MAX_HASH_MS } from '../../src/passwords/hash-settings.ts'
import { PRESET_NAMES, PRESETS } from '../../src/passwords/presets.ts'
import { suite } from '../suite.ts'

const t = suite()

const faultsOf = (given: HashOptions) => completeHash(given).faults.map(({ path, code }) => [path, code])

t.test('without a name it is argon2id as ever; with a name, that algorithm’s costs', (t) => {
  const argon2id = { algorithm: 'argon2id', memory_kib: 19_456, iterations: 2, parallelism: 1 }
  t.strictSame(completeHash({}), { hash: argon2id, faults: [] })
  for (const algorithm of ALGORITHMS) {
    const { hash, faults } = completeHash({ algorithm })
    t.strictSame(hash, { ...DEFAULT_COSTS[algorithm], algorithm })
    t.strictSame(faults, [])
  }
  const { hash } = completeHash({ algorithm: 'bcrypt', cost: 12 })
  t.strictSame(hash, { cost: 12, prefix: '2b', algorithm: 'bcrypt' })
  t.end()
})

t.test('a preset sets the algorithm and all costs, and its own result may be sent again', (t) => {
  for (const preset of PRESET_NAMES) {
    t.strictSame(completeHash({ preset }), { hash: PRESETS[preset], faults: [] }, preset)
    t.strictSame(completeHash({ preset, ...(PRESETS[preset] as HashOptions) }).faults, [], preset)
    t.strictSame(
      Object.keys(withCosts(PRESETS[preset])).length,
      Object.keys(PRESETS[preset]).length,
      'no cost is missing',
    )
  }
  t.end()
})

t.test('every preset belongs to a system that takes its algorithm', (t) => {
  for (const { name, presets, takes } of SYSTEMS) {
    for (const preset of presets) t.ok(PRESETS[preset].algorithm in takes, `${name}: ${preset}`)
  }
  t.strictSame(new Set(SYSTEMS.flatMap(({ presets }) => presets)), new Set(PRESET_NAMES))
  t.end()
})

t.test('the newest Django is the default of pbkdf2_sha256', (t) => {
  t.strictSame(PRESETS.django, PRESETS['django-6.1'])
  t.strictSame(PRESETS.django, { algorithm: 'pbkdf2_sha256', ...DEFAULT_COSTS.pbkdf2_sha256 })
  t.end()
})

t.test('an option of another algorithm, or that contradicts the preset, is refused by its name', (t) => {
  const table: [given: HashOptions, faults: [path: string, code: string][]][] = [
    [{ cost: 12 }, [['cost', 'contradiction']]],
    [
      { algorithm: 'bcrypt', n: 2, salt_bytes: 16 },
      [
        ['n', 'contradiction'],
        ['salt_bytes', 'contradiction'],
      ],
    ],
    [{ algorithm: 'better_auth', r: 16 }, [['r', 'contradiction']]],
    [{ algorithm: 'none', iterations: 1 }, [['iterations', 'contradiction']]],
    [{ preset: 'keycloak', iterations: 4 }, [['iterations', 'contradiction']]],
    [{ preset: 'keycloak', algorithm: 'bcrypt' }, [['algorithm', 'contradiction']]],
    [
      { preset: 'laravel', prefix: '2b', n: 2 },
      [
        ['prefix', 'contradiction'],
        ['n', 'contradiction'],
      ],
    ],
  ]
  for (const [given, faults] of table) t.strictSame(faultsOf(given), faults, JSON.stringify(given))
  t.match(completeHash({ algorithm: 'scrypt', iterations: 1 }).faults, [
    { message: 'is an option of argon2id and pbkdf2_sha256, not of scrypt' },
  ])
  t.end()
})

t.test('costs that the algorithm does not define, or that a thread does not stand', (t) => {
  const table: [given: HashOptions, faults: [path: string, code: string][]][] = [
    [{ memory_kib: 127, parallelism: 16 }, [['memory_kib', 'minimum']]],
    [{ memory_kib: 128, parallelism: 16 }, []],
    [{ memory_kib: 131_072, iterations: 31 }, []],
    [{ memory_kib: 131_072, iterations: 32 }, [['', 'too_expensive']]],
    [{ memory_kib: 8, iterations: 10_000_000 }, [['', 'too_expensive']]],
    [{ algorithm: 'scrypt', n: 1_000 }, [['n', 'multiple']]],
    [{ algorithm: 'scrypt', n: 65_536, r: 1 }, [['n', 'maximum']]],
    [{ algorithm: 'scrypt', n: 32_768, r: 1 }, []],
    [{ algorithm: 'scrypt', n: 131_072, r: 8 }, []],
    [{ algorithm: 'scrypt', n: 131_072, r: 9 }, [['n', 'maximum']]],
    [{ algorithm: 'scrypt', n: 131_072, p: 16 }, [['', 'too_expensive']]],
    [{ algorithm: 'bcrypt', cost: 15 }, []],
    [{ algorithm: 'pbkdf2_sha256', iterations: 10_000_000 }, []],
  ]
  for (const [given, faults] of table) t.strictSame(faultsOf(given), faults, JSON.stringify(given))
  t.end()
})

t.test('what is accepted takes at most 5 s, and more work never costs less', (t) => {
  const option = (name: 'memory_kib' | 'iterations' | 'parallelism' | 'n' | 'r' | 'p' | 'cost') => {
    const { minimum, maximum } = hashOptions[name] as unknown as { minimum: number; maximum: number }
    return fc.integer({ min: minimum, max: maximum })
  }
  const given = fc.oneof(
    fc.record({
      memory_kib: option('memory_kib'),
      iterations: option('iterations'),
      parallelism: option('parallelism'),
    }),
    fc.record({ algorithm: fc.constant('scrypt' as const), n: fc.nat({ max: 19 }).map((k) => 2 ** k), r: option('r') }),
    fc.record({ algorithm: fc.constant('bcrypt' as const), cost: option('cost') }),
    fc.record({ algorithm: fc.constant('pbkdf2_sha256' as const), iterations: option('iterations') }),
  )
  fc.assert(
    fc.property(given, (options) => {
      const { hash, faults } = completeHash(options)
      if (faults.length === 0 && hashCostMs(hash) > MAX_HASH_MS) return false
      const harder = completeHash({ ...options, ...('cost' in options && { cost: options.cost + 1 }) })
      return hashCostMs(harder.hash) >= hashCostMs(hash)
    }),
  )
  t.equal(hashCostMs({ algorithm: 'none' }), 0)
  t.end()
})
