import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { presetsTable, systemsTable } from '../scripts/password-tables.ts'
import { settingsTable } from '../src/config/config.ts'
import { suite } from './suite.ts'

const t = suite()

const ROOT = new URL('../', import.meta.url)

t.test('docs/configuration.md contains the settings table; `npm run settings-table` writes it', async (t) => {
  const page = await readFile(new URL('docs/configuration.md', ROOT), 'utf8')
  t.ok(page.includes(settingsTable()), settingsTable())
})

t.test('docs/passwords.md has the tables of presets and systems; `npm run settings-table` writes them', async (t) => {
  const page = await readFile(new URL('docs/passwords.md', ROOT), 'utf8')
  for (const table of [presetsTable(), systemsTable()]) t.ok(page.includes(table), table)
})

t.test('every relative link in the documents leads to an existing file and heading', async (t) => {
  const docs = (await readdir(new URL('docs/', ROOT))).filter((name) => name.endsWith('.md'))
  const pages = [
    'README.md',
    'CHANGELOG.md',
    'CONTRIBUTING.md',
    'examples/README.md',
    ...docs.map((name) => `docs/${name}`),
  ]
  const broken: string[] = []
  for (const page of pages) {
    const address = new URL(page, ROOT)
    for (const link of relativeLinks(await readFile(address, 'utf8'))) {
      if (!(await exists(new URL(link, address)))) broken.push(`${page}: ${link}`)
    }
  }
  t.strictSame(broken, [])
})

t.test('the README links to every page in docs/', async (t) => {
  const links = relativeLinks(await readFile(new URL('README.md', ROOT), 'utf8'))
  const docs = (await readdir(new URL('docs/', ROOT))).filter((name) => name.endsWith('.md'))
  t.strictSame(
    docs.filter((name) => !links.includes(`docs/${name}`)),
    [],
  )
})

t.test('the version is the same in package.json, CHANGELOG.md and kubernetes/', async (t) => {
  const read = (path: string) => readFile(new URL(path, ROOT), 'utf8')
  const { version } = JSON.parse(await read('package.json'))
  t.equal(/^## \[([\d.]+)\] - \d{4}-\d\d-\d\d$/m.exec(await read('CHANGELOG.md'))?.[1], version)
  t.equal(/newTag: (.*)/.exec(await read('kubernetes/kustomization.yaml'))?.[1], version)
})

/** The targets of `[text](target)`, without those on other hosts. Code blocks are ignored. */
function relativeLinks(markdown: string): string[] {
  const text = markdown.replace(/^```[\s\S]*?^```/gm, '')
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link = '']) => (/^[a-z]+:/.test(link) ? [] : [link]))
}

async function exists(target: URL): Promise<boolean> {
  const file = new URL(target)
  file.hash = ''
  if (!existsSync(file)) return false
  return target.hash === '' || anchorsOf(await readFile(file, 'utf8')).includes(target.hash)
}

/** The anchors that GitHub creates for headings: lower case, hyphens for spaces, no punctuation. */
function anchorsOf(markdown: string): string[] {
  return [...markdown.matchAll(/^#+ (.*)$/gm)].map(
    ([, heading = '']) =>
      `#${heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N}_ -]/gu, '')
        .replaceAll(' ', '-')}`,
  )
}
