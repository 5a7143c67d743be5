import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { CHILD_ENV } from '../child-env.ts'
import { beginLog } from '../run-record.ts'

const SERVER = fileURLToPath(new URL('../../src/server.ts', import.meta.url))

/**
 * Starts the service with settings that must make it fail. Returns its output and its exit code, which is null if it still
 * runs after half a minute.
 */
export async function refusedStart(settings: Record<string, string>) {
  const dataDir = await mkdtemp(join(tmpdir(), 'usersync-data-'))
  const child = spawn(process.execPath, [SERVER], {
    env: { ...CHILD_ENV, PORT: '0', DATA_DIR: dataDir, ENCRYPTION_KEY: '5e'.repeat(32), ...settings },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 30_000,
    killSignal: 'SIGKILL',
  })
  const log = beginLog()
  for (const stream of [child.stdout, child.stderr]) stream.on('data', log)
  try {
    const [output, code] = await Promise.all([
      text(child.stderr),
      new Promise<number | null>((resolve) => void child.once('exit', resolve)),
    ])
    return { code, output }
  } finally {
    await rm(dataDir, { recursive: true, force: true })
  }
}
