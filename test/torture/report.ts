/** The invariants, by a stable name. */
// biome-ignore format: a table
export const INVARIANTS = {
  'follower-in-step': 'A follower has the users of a full export, credentials included; a 304 never hides a difference',
  'delta-exact': 'A delta applied to its base gives exactly its state',
  'request-bound': 'No request exceeds its time limit',
  'ready-when-well': '/readyz answers 200 while the process and the database work',
  'no-internal-error': 'No response has status 500, and each rejection is problem+json with a code',
  'batch-ends': 'Each batch and import ends, and has no users after its expiry',
  'run-ends': 'Each sync run ends',
  'target-in-step': 'A reachable target comes in step',
  'batch-exact': 'A batch that completes has exactly its users',
  'made-once': 'A request repeated with its Idempotency-Key creates no second batch',
  'kept-state': 'The stored state is the state of the rows',
  'login-stays': 'The credential of a user exists',
  'scopes': 'A key reads and changes only what its scopes allow',
  'one-holder': 'A user is with one living holder at a time, and each later lease of it has a greater fence',
  'none-lost': 'A lease lasts until its end, and each user can be leased again after it and a reset',
  'protected': 'A user that is not a test user is never changed or deleted',
  'listing': 'A listing by id contains no user twice',
  'nothing-left': 'Deletion and expiry leave no credential, secret or chunk',
  'resources-back': 'Connections, transactions and file handles are closed',
  'process-alive': 'No process exits unexpectedly',
}

export type Invariant = keyof typeof INVARIANTS

export interface Finding {
  invariant: Invariant
  detail: string
  round: number
  /** Since the start of the round, and of the run. */
  atMs: number
  runMs: number
  times: number
}

/** Collects findings, the first of each invariant completely, and counts what was done. */
export class Report {
  readonly findings = new Map<Invariant, Finding>()
  readonly counts = new Map<string, number>()
  readonly startedAt = Date.now()
  round = 0
  roundStartedAt = Date.now()
  /** Called with each new finding. */
  onFinding: (finding: Finding) => void = () => {}

  /** How long to wait for `invariant` to hold: if it is known to fail, a long wait is useless. */
  patience(invariant: Invariant, boundMs: number): number {
    return this.findings.has(invariant) ? boundMs / 10 : boundMs
  }

  count(what: string, by = 1): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + by)
  }

  finding(invariant: Invariant, detail: string): void {
    const known = this.findings.get(invariant)
    if (known) {
      known.times++
      return
    }
    const now = Date.now()
    const { round, startedAt, roundStartedAt } = this
    const finding = { invariant, detail, round, atMs: now - roundStartedAt, runMs: now - startedAt, times: 1 }
    this.findings.set(invariant, finding)
    this.onFinding(finding)
  }

  /** The counts whose name starts with `prefix`, in one line. */
  line(prefix: string): string {
    const found = [...this.counts].filter(([what]) => what.startsWith(`${prefix} `)).sort()
    return found.map(([what, count]) => `${what.slice(prefix.length + 1)} ${count}`).join(', ')
  }

  total(prefix: string): number {
    return [...this.counts].reduce((sum, [what, count]) => sum + (what.startsWith(`${prefix} `) ? count : 0), 0)
  }
}
