import { UsageError } from '../src/client/service-options.ts'
import { cancelBatch, createBatch, deleteBatch, listBatches, watchBatch } from './batch.ts'
import { type Command, command } from './command.ts'
import { completionScript, SHELLS } from './completion.ts'
import { DONE } from './exit-codes.ts'
import { listLeases, returnLease, takeLease } from './lease.ts'
import { pull } from './pull.ts'
import { job, psql, serve } from './server.ts'
import { status } from './status.ts'
import { listTargets, syncTarget, verifyTarget } from './targets.ts'
import { exportUsers, getUser, importUsers, listUsers } from './users.ts'

const completion = command({
  summary: 'prints the script with which a shell completes commands',
  args: { SHELL: SHELLS.join(', ') },
  details: 'The first line of the script says where it belongs.',
  examples: ['source <(usersync completion bash)', 'usersync completion fish | source'],
  async run({ args, print }) {
    const shell = SHELLS.find((name) => name === args[0])
    if (!shell) throw new UsageError(`completion: SHELL expects ${SHELLS.join(', ')}`)
    await print(completionScript(shell, COMMANDS, GROUPS))
    return DONE
  },
})

/** The commands by name, in the order of the help. */
export const COMMANDS: Record<string, Command> = {
  serve,
  status,
  'batch create': createBatch,
  'batch watch': watchBatch,
  'batch list': listBatches,
  'batch cancel': cancelBatch,
  'batch delete': deleteBatch,
  'users list': listUsers,
  'users get': getUser,
  'users import': importUsers,
  'users export': exportUsers,
  pull,
  'lease take': takeLease,
  'lease return': returnLease,
  'lease list': listLeases,
  'targets list': listTargets,
  'targets sync': syncTarget,
  'targets verify': verifyTarget,
  job,
  psql,
  completion,
}

/** What the first words of two-word commands are about. */
export const GROUPS: Record<string, string> = {
  batch: 'creates users in bulk: create, watch, list, cancel, delete',
  users: 'single users, imports and exports: list, get, import, export',
  lease: 'users that one test has for itself: take, return, list',
  targets: 'services and systems that are kept in step: list, sync, verify',
}
