// The service with intervals and timeouts that no setting changes, for tests that need a process: `node paced-server.ts PACE`.

import { readConfig } from '../src/config/config.ts'
import { loggableError } from '../src/database/loggable-error.ts'
import { createLog } from '../src/process/log.ts'
import { onStopSignal } from '../src/process/shutdown.ts'
import { startService } from '../src/service.ts'

const config = readConfig(process.env)
const log = await createLog(config, loggableError)
const service = await startService(config, config.databaseUrl, log, JSON.parse(process.argv[2] ?? '{}'))
const listenTextResolver = (address: string) => `usersync listens on ${address}, for a test`
await service.app.listen({ host: '127.0.0.1', port: config.port, listenTextResolver })
onStopSignal(() => void service.stop().then(() => process.exit()))
