// What `npm test` runs after the tests, also when they failed.

import { readCluster, removeCluster } from './cluster.ts'

const cluster = await readCluster()
if (cluster) await removeCluster(cluster)
