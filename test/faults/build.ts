/** The programs under test, compiled, since a start through tsx takes a second that a killed consumer has not. */
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'

export interface Programs {
  consumer: string
  /** Another one, for comparison, that acknowledges early. */
  early: string
  server: string
  /** What is loaded in front of each of them. */
  preload: string
  [Symbol.asyncDispose](): Promise<void>
}

/** In node_modules, so that the compiled files find their packages and no other tool looks at them. */
const CACHE = 'node_modules/.cache'

export async function buildPrograms(): Promise<Programs> {
  if (import.meta.filename.endsWith('.js')) {
    return {
      ...programsIn(join(import.meta.dirname, '../..'), 'js'),
      async [Symbol.asyncDispose]() {},
    }
  }
  await mkdir(CACHE, { recursive: true })
  const folder = resolve(await mkdtemp(join(CACHE, 'faults-')))
  const root = resolve('.')
  const config = {
    extends: join(root, 'tsconfig.json'),
    compilerOptions: { rootDir: root, outDir: folder, declaration: false },
    include: [],
    files: Object.values(programsIn(root, 'ts')),
  }
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(config))
  await writeFile(join(folder, 'package.json'), '{"type":"module"}')
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  await promisify(execFile)(process.execPath, [tsc, '-p', folder])
  return {
    ...programsIn(folder, 'js'),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}

const programsIn = (folder: string, kind: 'js' | 'ts') => ({
  consumer: join(folder, `src/cli.${kind}`),
  early: join(folder, `test/faults/early.${kind}`),
  server: join(folder, `test/faults/server.${kind}`),
  preload: join(folder, `test/faults/preload.${kind}`),
})
