import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { StandbyObserver, Standbys } from '../standbys/standbys.ts'

const WAIT_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5]

/** Adds the metrics of standbys. A service without standbys does not have them. */
export function createStandbyMetrics(
  registry: Registry,
): StandbyObserver & { watch(standbys: Pick<Standbys, 'status'>): void } {
  const registers = [registry]
  const waits = new Histogram({
    name: 'usersync_export_snapshot_wait_seconds',
    help: 'Time until an export had its snapshot, by the server that it reads: standby, or primary because no standby was ready in time.',
    labelNames: ['server'],
    buckets: WAIT_SECONDS,
    registers,
  })
  const failures = new Counter({
    name: 'usersync_standby_failures_total',
    help: 'Why standbys were passed over: behind, ahead, promoted, diverged, conflict, unavailable.',
    labelNames: ['standby', 'failure'],
    registers,
  })
  for (const server of ['standby', 'primary']) waits.zero({ server })
  return {
    snapshotOpened: (server, seconds) => waits.observe({ server }, seconds),
    standbyFailed: (standby, failure) => failures.inc({ standby, failure }),
    watch(standbys) {
      new Gauge({
        name: 'usersync_standby_ready',
        help: '1 if exports use the standby, numbered in the order of READ_DATABASE_URL; 0 while it is passed over.',
        labelNames: ['standby'],
        registers,
        collect() {
          for (const { standby, status } of standbys.status()) this.set({ standby }, Number(status === 'ready'))
        },
      })
    },
  }
}
