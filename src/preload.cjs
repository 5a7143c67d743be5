'use strict'
// Loaded before anything else, by any Node: an older one cannot read the TypeScript of the service and fails with a stack.

const { join } = require('node:path')

if (Number.parseInt(process.versions.node, 10) < 24) {
  process.stderr.write(
    `usersync cannot start: it needs Node 24 or later, and this is Node ${process.versions.node}. The project brings its own: run \`npm ci\` without --omit and --ignore-scripts. Or install Node 24.\n`,
  )
  process.exit(1)
}

// Keeps compiled code, and TypeScript without its types, for later starts: they take 0.6 s of CPU time less, and 30 MiB. Node writes
// the files when the process ends. If the folder is read-only, it writes none.
require('node:module').enableCompileCache(join(__dirname, '..', 'node_modules', '.cache', 'compile'))
