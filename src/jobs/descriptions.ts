import type { Parameters } from './parameters.ts'

const pool = { type: 'text', description: 'the pool (default: default)' } as const
const date = { type: 'date', description: 'separates this run from those of other days' } as const

/** What each job does and takes. Apart from the jobs, because the command shows it without loading them. */
export const JOB_DESCRIPTIONS = {
  create: {
    description: 'creates users, and waits until they exist',
    parameters: {
      count: { type: 'integer', isRequired: true, description: 'how many' },
      pool,
      template: { type: 'text', description: 'the template with the initial settings' },
      label: { type: 'text', description: 'a label for the batch' },
      expires_in: { type: 'integer', description: 'seconds' },
      seed: { type: 'text', description: 'makes the same users again, with epoch on any server' },
      epoch: { type: 'text', description: 'the time that all times of the users follow from' },
      date,
    },
  },
  distribute: {
    description: 'moves the schema to a worker of Citus, and checks it (docs/citus.md)',
    parameters: { date },
  },
  expire: {
    description: 'removes the users of expired batches',
    parameters: { pool, date },
  },
  prune: {
    description: 'prunes what deltas no longer need (BASE_RETENTION), in all pools',
    parameters: { date },
  },
  sync: {
    description: 'pushes to targets, one after the other',
    parameters: {
      targets: { type: 'list', isRequired: true, description: 'their names' },
      full: { type: 'boolean', description: 'full exports, whatever state they have' },
      pool,
      date,
    },
  },
  'verify-states': {
    description: 'computes all states from the users, and compares them with the recorded ones',
    parameters: { pool: { ...pool, description: 'the pool (default: all)' }, date },
  },
} satisfies Record<string, { description: string; parameters: Parameters }>
