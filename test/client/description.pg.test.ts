import { readFile } from 'node:fs/promises'
import { OPERATIONS } from '../../client/index.ts'
import { fingerprint, operationTable } from '../../scripts/client-types/render.ts'
import OPERATION_IDS from '../http/operations.json' with { type: 'json' }
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'

const t = suite()

/*
 * The client knows the description that the service serves. test/http/openapi-tools.pg.test.ts makes its types again; that needs a
 * generator, which only .ci/run installs.
 */

const read = (name: string) => readFile(new URL(`../../client/${name}`, import.meta.url), 'utf8')

t.test('the types and operations of the client are those of the service', async (t) => {
  const { call } = await sharedService(t)
  const description = (await call('GET', '/openapi.json')).raw.toString()
  const advice = 'the description has changed: run `npm run client-types`'
  t.equal(await read('operations.ts'), operationTable(description), advice)
  t.match((await read('description.ts')).split('\n', 1)[0], fingerprint(description), advice)
  const routes = Object.entries(OPERATIONS).map(([id, { method, path }]) => [id, `${method} ${path}`])
  t.strictSame(Object.fromEntries(routes), OPERATION_IDS, 'every operation is reachable by request()')
})
