import { open } from 'node:fs/promises'

/** Writes the entries of a folder to disk, so that files which were created or renamed there survive a power cut. */
export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path)
  await handle.sync().finally(() => handle.close())
}
