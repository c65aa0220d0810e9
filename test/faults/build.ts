/** Compiles the programs under test, since a start through tsx takes a second that a killed consumer has not. */
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'

export interface Programs {
  consumer: string
  server: string
  /** What is loaded in front of each of them. */
  preload: string
  [Symbol.asyncDispose](): Promise<void>
}

/** In node_modules, so that the compiled files find their packages and no other tool looks at them. */
const CACHE = 'node_modules/.cache'

export async function buildPrograms(): Promise<Programs> {
  await mkdir(CACHE, { recursive: true })
  const folder = resolve(await mkdtemp(join(CACHE, 'faults-')))
  const root = resolve('.')
  const config = {
    extends: join(root, 'tsconfig.json'),
    compilerOptions: { rootDir: root, outDir: folder, declaration: false },
    include: [],
    files: ['src/cli.ts', 'test/faults/server.ts', 'test/faults/preload.ts'].map((file) =>
      join(root, file),
    ),
  }
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(config))
  await writeFile(join(folder, 'package.json'), '{"type":"module"}')
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  await promisify(execFile)(process.execPath, [tsc, '-p', folder])
  return {
    consumer: join(folder, 'src/cli.js'),
    server: join(folder, 'test/faults/server.js'),
    preload: join(folder, 'test/faults/preload.js'),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}
