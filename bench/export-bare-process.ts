import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Surroundings } from './bench-surroundings.ts'

const BARE_ROUTE = fileURLToPath(new URL('export-bare-route.ts', import.meta.url))

/** The bare route, listening. Disposing of it ends its process. */
export interface BareProcess extends AsyncDisposable {
  /** `http://127.0.0.1:<port>` */
  address: string
}

/** Starts the bare route in a process with the same Node as the service. */
export async function startBareRoute({ within }: Surroundings): Promise<BareProcess> {
  const child = spawn(process.execPath, [BARE_ROUTE], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'close')
  ended.catch(() => {}) // if the process cannot start, the address never arrives
  const stop = async () => {
    child.kill('SIGKILL')
    await ended.catch(() => {})
  }
  try {
    const [address]: string[] = await within(10, 'start of the bare route', (signal) =>
      once(createInterface(child.stdout), 'line', { signal }),
    )
    if (address === undefined) throw new Error('the bare route printed no address')
    return { address, [Symbol.asyncDispose]: stop }
  } catch (error) {
    await stop()
    throw error
  }
}
