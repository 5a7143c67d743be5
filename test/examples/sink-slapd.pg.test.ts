import { fileURLToPath } from 'node:url'
import { isInstalled, run } from '../../examples/check/command.ts'
import { freePort } from '../faults/free-port.ts'
import { sharedService } from '../http/shared-service.ts'
import { NO_SLAPD } from '../sinks/slapd.ts'
import { suite } from '../suite.ts'

const t = suite()

const SCRIPT = fileURLToPath(new URL('../../examples/sinks/slapd/run.sh', import.meta.url))

const noTools = (await isInstalled('ldapwhoami'))
  ? NO_SLAPD
  : 'ldapwhoami is not here (Debian: apt-get install ldap-utils)'
t.test('users log in to the directory that the example starts', { skip: noTools }, async (t) => {
  const { url } = await sharedService(t)
  const { LD_LIBRARY_PATH = '' } = process.env
  const { code, output, errors } = await run('sh', [SCRIPT, url, '50'], {
    cwd: t.testdir({}),
    env: { LDAP_PORT: String(await freePort()), LD_LIBRARY_PATH },
    signal: AbortSignal.timeout(100_000),
  })
  t.strictSame([code, errors], [0, ''])
  t.match(
    output,
    /^50 users in the directory\nlogged in as dn:uid=ldap1_\d+@example\.com,ou=people,dc=example,dc=com\n0 users after clear\n$/,
  )
})
