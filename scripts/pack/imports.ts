import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** An import that exists at run time: `import type` and lists of types are erased. */
const IMPORT = /(?:^|\n)(?:import|export) (?!type )(?:[^'";]*? from )?'([^']+)'|import\('([^']+)'\)/g

/**
 * Returns the npm packages that `entries` and the modules that they import load, sorted. Paths are relative to `root`. Dynamic
 * imports count.
 */
export function packagesOf(root: string, entries: string[]): string[] {
  const seen = new Set<string>()
  const packages = new Set<string>()
  const visit = (file: string): void => {
    if (seen.has(file) || !existsSync(join(root, file))) return
    seen.add(file)
    const text = readFileSync(join(root, file), 'utf8')
    for (const [, fixed, dynamic] of text.matchAll(IMPORT)) {
      const name = fixed ?? dynamic ?? ''
      if (name.startsWith('.')) visit(join(dirname(file), name))
      else if (!name.startsWith('node:')) packages.add(packageName(name))
    }
  }
  for (const entry of entries) visit(entry)
  return [...packages].toSorted()
}

const packageName = (specifier: string) =>
  specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
