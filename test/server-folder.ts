import { chmod, mkdtemp, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sized } from './size.ts'

/** Free memory from which on the servers' files are kept there. A run needs less than half of it. */
const ENOUGH_BYTES = sized(6, 16) * 2 ** 30

/**
 * Makes a folder for the files of a PostgreSQL server, which any user may enter: root runs PostgreSQL as another user.
 *
 * It is in memory on a machine that has much. A cluster has a thousand files and each database 300. ext4 does not reuse
 * the inode of a deleted file for some minutes, and looks at each of them for every new file. So after other tests, a new
 * database took up to 100 ms of CPU time, and in memory 10 ms.
 */
export async function makeServerFolder(prefix: string): Promise<string> {
  const folder = await mkdtemp(join((await hasRoomInMemory()) ? '/dev/shm' : tmpdir(), prefix))
  await chmod(folder, 0o755)
  return folder
}

async function hasRoomInMemory(): Promise<boolean> {
  if (process.platform !== 'linux' || process.availableMemory() < ENOUGH_BYTES) return false
  const disk = await statfs('/dev/shm').catch(() => undefined)
  return disk !== undefined && disk.bavail * disk.bsize >= ENOUGH_BYTES
}
