/** Decides where a server runs: what is installed, else Docker, else what apt-get can install. */
import { installWithApt } from './apt.ts'
import { findDocker } from './docker.ts'

export interface Wanted {
  name: string
  /** What has to be on PATH, for the reader of the error. */
  program: string
  find: (path: string) => Promise<string | undefined>
  image: string
  /** Name of the package, the same for apt and for Homebrew but for the suffix. */
  packages: { apt: string; brew: string }
  variable: { name: string; example: string }
}

export type Place = { origin: string } & ({ program: string } | { docker: string })

export async function findPlace(wanted: Wanted, path: string): Promise<Place> {
  const installed = await wanted.find(path)
  if (installed) return { program: installed, origin: `started ${installed}` }

  const container = await findDocker(wanted.image, path)
  if ('docker' in container) {
    return { docker: container.docker, origin: `started in Docker, image ${wanted.image}` }
  }

  const refusal = await installWithApt(path)
  const fresh = refusal === undefined ? await wanted.find(path) : undefined
  if (fresh) return { program: fresh, origin: `installed by apt-get, started ${fresh}` }

  throw new Error(
    explain(wanted, [
      `${wanted.program} is not on PATH`,
      container.missing,
      refusal ?? `apt-get ran, and still ${wanted.program} is not on PATH`,
    ]),
  )
}

function explain({ name, packages, variable }: Wanted, reasons: string[]): string {
  return `No ${name} for the tests, and none could be started:
${reasons.map((reason) => `  - ${reason}`).join('\n')}
Any one of these helps:
  - install it: "sudo apt-get install ${packages.apt}" or "brew install ${packages.brew}"
  - install and start Docker
  - set ${variable.name} to one the tests may write to, such as ${variable.example}`
}
