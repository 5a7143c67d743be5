import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** As in .ci/run. With its 34 packages it is too large for a development dependency, so npx fetches it. */
const GENERATOR = ['--package=openapi-typescript@7.13.0', '--package=typescript@5.9.3']

/** The SHA-256 of a description, which the first line of client/description.ts has. So a test needs no generator to compare. */
export const fingerprint = (description: string) => createHash('sha256').update(description).digest('hex')

/**
 * Returns the types that openapi-typescript makes of a description. A member with a default may be omitted, as in requests.
 * The generator is in the folder OPENAPI_TOOLS, or npx fetches it.
 */
export async function descriptionTypes(description: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'usersync-types-'))
  try {
    await writeFile(join(folder, 'openapi.json'), description)
    const args = ['openapi.json', '--output', 'types.ts', '--default-non-nullable=false']
    const { OPENAPI_TOOLS: tools } = process.env
    if (tools) await run(join(tools, 'node_modules/.bin/openapi-typescript'), args, { cwd: folder })
    else await run('npx', ['--yes', ...GENERATOR, '--', 'openapi-typescript', ...args], { cwd: folder })
    const types = await readFile(join(folder, 'types.ts'), 'utf8')
    return `// Made by \`npm run client-types\` from the description with the SHA-256 ${fingerprint(description)}.\n${types}`
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

interface Operation {
  operationId: string
  parameters?: ({ $ref: string } | { name: string; in: string })[]
}

interface Description {
  info: { version: string }
  paths: Record<string, Record<string, Operation>>
}

/** Returns the module with the method and path of each operation, and whether it takes a pool and an Idempotency-Key. */
export function operationTable(text: string): string {
  const { info, paths } = JSON.parse(text) as Description
  const lines = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => {
      const takes = (name: string) =>
        (operation.parameters ?? []).some((each) =>
          '$ref' in each ? each.$ref.endsWith(`/${name}`) : each.name === name,
        )
      const flags = `${takes('pool') ? ', pool: true' : ''}${takes('idempotency-key') ? ', idempotencyKey: true' : ''}`
      return `  ${operation.operationId}: { method: '${method.toUpperCase()}', path: '${path}'${flags} },`
    }),
  )
  return `// Made by \`npm run client-types\`.

/** The version of the service that the client is made for. */
export const VERSION = '${info.version}'

/** Each operation of the service. */
export const OPERATIONS = {
${lines.toSorted().join('\n')}
} as const
`
}
