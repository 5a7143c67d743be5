/** What must hold, by a stable name. */
// biome-ignore format: a table
export const INVARIANTS = {
  'follower-in-step': 'A follower holds what a full export holds, logins included; a 304 never hides a difference',
  'delta-exact': 'A delta applied to its base gives exactly the state it names',
  'request-bound': 'No request outlives its bound',
  'ready-when-well': '/readyz is 200 while the process and the database are well',
  'no-internal-error': 'No request is answered with 500, and each refusal is problem+json with a code',
  'batch-ends': 'Each batch and import ends, and has no users left when it has expired',
  'run-ends': 'Each sync run ends',
  'target-in-step': 'A target that can be reached comes in step',
  'batch-exact': 'A batch that completes has exactly its users',
  'made-once': 'A request that is sent again by its Idempotency-Key makes no second batch',
  'kept-state': 'The state that is kept is the state of the rows',
  'login-stays': 'A user that refers to a credential has it',
  'scopes': 'A key sees and changes only what its scopes allow',
  'protected': 'A user who is not a test user is never changed or deleted',
  'listing': 'A listing by id has no user twice',
  'nothing-left': 'Deletion and expiry leave no credential, secret or chunk',
  'resources-back': 'Connections, open transactions and file handles are back',
  'process-alive': 'No process ends by itself',
}

export type Invariant = keyof typeof INVARIANTS

export interface Finding {
  invariant: Invariant
  detail: string
  round: number
  /** Into the round, and since the start of the run. */
  atMs: number
  runMs: number
  times: number
}

/** Gathers findings, the first of each invariant in full, and counts what was done. */
export class Report {
  readonly findings = new Map<Invariant, Finding>()
  readonly counts = new Map<string, number>()
  readonly startedAt = Date.now()
  round = 0
  roundStartedAt = Date.now()
  /** Is called with each finding that is new. */
  onFinding: (finding: Finding) => void = () => {}

  /** How long to wait for `invariant` to hold: of what is known to fail, no long wait tells more. */
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

  /** The counts whose name begins with `prefix`, as one line. */
  line(prefix: string): string {
    const found = [...this.counts].filter(([what]) => what.startsWith(`${prefix} `)).sort()
    return found.map(([what, count]) => `${what.slice(prefix.length + 1)} ${count}`).join(', ')
  }

  total(prefix: string): number {
    return [...this.counts].reduce((sum, [what, count]) => sum + (what.startsWith(`${prefix} `) ? count : 0), 0)
  }
}
