// Writes client/description.ts and client/operations.ts, what the client knows of the service, from the description that this checkout
// serves: `npm run client-types`. With --check it writes nothing, and fails if they are not up to date.

import { readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { descriptionTypes, operationTable } from './client-types/render.ts'
import { servedDescription } from './client-types/served-description.ts'

const CLIENT = resolve(import.meta.dirname, '../client')

const description = await servedDescription()
const files = { 'description.ts': await descriptionTypes(description), 'operations.ts': operationTable(description) }
for (const [name, text] of Object.entries(files)) {
  const path = join(CLIENT, name)
  if (!process.argv.includes('--check')) await writeFile(path, text)
  else if ((await readFile(path, 'utf8')) !== text) {
    process.stderr.write(`client/${name} does not match the description: run \`npm run client-types\`\n`)
    process.exitCode = 1
  }
}
