import type { Coding } from '../src/http/content-coding.ts'
import type { Surroundings } from './bench-surroundings.ts'
import type { BareProcess } from './export-bare-process.ts'
import { type Download, download, downloadBare } from './export-download.ts'
import { changeUsers, type Pool, spreadIds } from './export-pools.ts'

/** The number of clients that request the same export at once. */
export const CROWD = 20

/** The ways to get the pool's full export in an encoding. Each returns its milliseconds. */
export async function waysToExport(surroundings: Surroundings, pool: Pool, bare: BareProcess) {
  const oneUser = await spreadIds(surroundings, pool, 1)
  const get = async (coding: Coding, clients: number): Promise<Download[]> =>
    await surroundings.within(60 + pool.users / 2_000, `export in ${coding}`, (signal) =>
      Promise.all(Array.from({ length: clients }, () => download(surroundings.address, { pool, coding, signal }))),
    )
  const makeFor = async (coding: Coding, clients: number) => {
    await changeUsers(surroundings, pool, oneUser)
    const start = performance.now()
    const downloads = await get(coding, clients)
    const milliseconds = performance.now() - start
    if (downloads.some(({ wasFinished }) => wasFinished))
      throw new Error('an export of a new state came from the cache')
    if (new Set(downloads.map(({ state, bytes }) => `${state} ${bytes}`)).size > 1) {
      throw new Error(`${clients} clients requested an export at once and got different ones`)
    }
    return milliseconds
  }
  return {
    made: (coding: Coding) => makeFor(coding, 1),
    crowd: (coding: Coding) => makeFor(coding, CROWD),
    /** As many bytes as an uncompressed export has, from memory, to as many clients: what their copies cost alone. */
    async bareCrowd() {
      const [{ bytes } = { bytes: 0 }] = await get('identity', 1)
      const start = performance.now()
      await surroundings.within(60 + pool.users / 2_000, 'bytes of the bare route', (signal) =>
        Promise.all(Array.from({ length: CROWD }, () => downloadBare(bare.address, bytes, signal))),
      )
      return performance.now() - start
    },
    async again(coding: Coding) {
      const [same] = await get(coding, 1)
      if (!same?.wasFinished) throw new Error('an export of the same state was created again')
      return same.milliseconds
    },
  }
}
