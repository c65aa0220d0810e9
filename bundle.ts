/** How our modules are published, for what runs on Node. */
import { type BuildResult, build } from 'esbuild'

/**
 * Few files, for Node takes longer to find and to read a module than to run it. The entries have in common what both use; nothing is
 * loaded that is not asked for. Libraries stay outside: who installs us has their fixes, and one copy of each.
 */
export const bundle = (entryPoints: string[], outdir: string): Promise<BuildResult> =>
  build({
    entryPoints,
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
