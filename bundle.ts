/** How our modules are published, for what runs on Node. */
import { buildSync } from 'esbuild'

/** What package.json has as `exports` and `bin`, in src. */
const ENTRIES = ['plugin', 'consumer', 'providers/index', 'receipts/index', 'testing/index', 'cli']

/**
 * Few files, for Node takes longer to find and to read a module than to run it. The entries have in common what several use; nothing is
 * loaded that is not asked for. Libraries stay outside: who installs us has their fixes, and one copy of each.
 */
export function bundle(outdir: string): void {
  buildSync({
    entryPoints: ENTRIES.map((entry) => `src/${entry}.ts`),
    outdir,
    bundle: true,
    splitting: true,
    packages: 'external',
    platform: 'node',
    target: 'node20',
    format: 'esm',
    charset: 'utf8',
    chunkNames: 'shared/[hash]',
  })
}
