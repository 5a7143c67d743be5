import { ok } from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Check, command, needs, PROJECT, Skipped } from './check.ts'

const MAX_MB = 300

/** Without systemd, and without the right to raise limits: what podman needs inside another container. */
const podmanSettings = (folder: string) => `
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
events_logger = "file"
[network]
network_config_dir = "${folder}/networks"
`

/**
 * Builds the image of the Dockerfile with buildah and runs it with podman (containers.ts), in a network namespace and a storage of their
 * own, which are removed. The base is a stand-in made of packages, or with `hasPublicBase` what the Dockerfile names.
 */
export const image = ({ hasPublicBase }: { hasPublicBase: boolean }): Check => ({
  name: 'image',
  async run() {
    if (process.getuid?.() !== 0) throw new Skipped('only root can build and run containers here')
    await needs(
      'buildah',
      'podman',
      'podman-compose',
      'runc',
      'unshare',
      ...(hasPublicBase ? [] : ['debootstrap', 'apt-get']),
    )
    const folder = await mkdtemp('/var/tmp/usersync-image-')
    const options = ['--root', `${folder}/storage`, '--runroot', `${folder}/run`, '--storage-driver', 'overlay']
    const buildah = (...args: string[]) => command('buildah', [...options, ...args])
    const standIn = (name: string, ...args: string[]) =>
      command('sh', [join(PROJECT, `scripts/release/stand-in-${name}.sh`), ...args])
    try {
      const [, base = ''] = /^FROM (\S+)/m.exec(await readFile(join(PROJECT, 'Dockerfile'), 'utf8')) ?? []
      if (!hasPublicBase) {
        await standIn('base', base, folder, ...options)
        await standIn('postgres', 'postgres:18', `docker.io/library/${base}`, ...options)
      }
      const pull = hasPublicBase ? '--pull' : '--pull-never'
      await buildah('build', '--isolation=chroot', '--format=docker', '--layers', pull, '--tag=usersync', PROJECT)
      const [whole, below] = [await sizeMb(buildah, 'usersync'), await sizeMb(buildah, base)]
      ok(whole <= MAX_MB, `the image has ${whole} MB, more than ${MAX_MB}`)

      await mkdir(`${folder}/networks`)
      await writeFile(`${folder}/containers.conf`, podmanSettings(folder))
      const storage = `[storage]\ndriver = "overlay"\ngraphroot = "${folder}/storage"\nrunroot = "${folder}/run"\n`
      await writeFile(`${folder}/storage.conf`, storage)
      const env = {
        CONTAINERS_CONF: `${folder}/containers.conf`,
        CONTAINERS_STORAGE_CONF: `${folder}/storage.conf`,
      }
      const containers = join(PROJECT, 'scripts/release/containers.ts')
      const seen = await command('unshare', ['--net', '--mount', process.execPath, containers], { env, minutes: 20 })
      return [
        `${whole} MB, ${whole - below} of them on ${base}${hasPublicBase ? '' : ' (a stand-in)'}`,
        ...seen.trim().split('\n'),
      ].join('\n')
    } finally {
      // A command that failed leaves its container mounted.
      const mounts =
        'awk -v folder="$0/" \'index($2, folder) == 1 { print $2 }\' /proc/mounts | sort -r | xargs -r umount'
      await command('sh', ['-c', mounts, folder])
      await rm(folder, { recursive: true, force: true })
    }
  },
})

/** The size of an image with its base, unpacked. */
async function sizeMb(buildah: (...args: string[]) => Promise<string>, name: string): Promise<number> {
  const [{ size }] = JSON.parse(await buildah('images', '--json', name))
  const [, number, unit] = /^([\d.]+) (MB|GB)$/.exec(size) ?? []
  return Math.round(Number(number) * (unit === 'GB' ? 1000 : 1))
}
