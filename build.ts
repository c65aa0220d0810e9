/** `npm run build`: the package, in `dist` or the folder that is named. What browsers load is one small file for each entry. */
import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { build, type Plugin } from 'esbuild'
import { bundle } from './bundle.ts'

const TSC = 'node_modules/typescript/bin/tsc'

const dist = resolve(process.argv[2] ?? 'dist')
const client = join(dist, 'client')

/** The element uses the module and has no copy of it: a page may load both. */
const shared: Plugin = {
  name: 'shared',
  setup(build) {
    build.onResolve({ filter: /^\.\/index\.ts$/ }, () => ({ path: './index.js', external: true }))
  },
}

rmSync(dist, { recursive: true, force: true })
tsc('.', '--outDir', dist, '--emitDeclarationOnly')
bundle(dist)
tsc('src/client', '--outDir', client, '--emitDeclarationOnly')
for (const inner of ['puzzle', 'storage', 'style', 'transport'])
  rmSync(join(client, `${inner}.d.ts`))
await build({
  entryPoints: ['src/client/index.ts', 'src/client/element.ts'],
  outdir: client,
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  charset: 'utf8',
  plugins: [shared],
})

function tsc(project: string, ...options: string[]): void {
  execFileSync(process.execPath, [TSC, '-p', project, ...options], { stdio: 'inherit' })
}
