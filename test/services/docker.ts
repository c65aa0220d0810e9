/** Runs a server in a container, for machines that have Docker but not the server. */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import { startGuard } from './guard.ts'
import { findProgram } from './programs.ts'
import type { Host } from './service.ts'

export interface Container {
  image: string
  /** The port inside of the container and the one outside, on 127.0.0.1 only. */
  ports: { inside: number; outside: number }
  env?: Record<string, string>
  args?: string[]
}

/** Says why Docker cannot run the image here, or gives the program to run it with. */
export async function findDocker(
  image: string,
  path: string,
): Promise<{ docker: string } | { missing: string }> {
  const docker = await findProgram('docker', path)
  if (!docker) return { missing: 'docker is not on PATH' }
  try {
    await run(docker, ['info'], 20)
  } catch {
    return { missing: 'docker is installed, but "docker info" fails (is its daemon running?)' }
  }
  try {
    await run(docker, ['image', 'inspect', image], 20).catch(() =>
      run(docker, ['pull', image], 600),
    )
  } catch (error) {
    return { missing: `docker cannot pull ${image}: ${lastLine(error)}` }
  }
  return { docker }
}

export function createContainerHost(docker: string, container: Container): Host {
  const { image, ports, env = {}, args = [] } = container
  const name = `sms-verify-${image.replace(':', '-')}-${randomBytes(4).toString('hex')}`
  const guard = startGuard('exec "$1" rm -f -v "$2"', docker, name)
  let created = false

  /** With no grace it is a kill, and unlike "docker kill" content with a stopped container. */
  async function end(grace: number): Promise<void> {
    // A frozen server cannot shut down. It fails for one that is not frozen, which is as well.
    await run(docker, ['unpause', name], 20).catch(() => {})
    await run(docker, ['stop', '-t', String(grace), name], 60)
  }

  return {
    pid: undefined,
    folder: undefined,
    async start() {
      if (created) {
        await run(docker, ['start', name], 60)
        return
      }
      created = true
      // Not --rm: a container that is gone once it has stopped could not be started again.
      const publish = `127.0.0.1:${ports.outside}:${ports.inside}`
      const variables = Object.entries(env).flatMap(([key, value]) => ['-e', `${key}=${value}`])
      await run(
        docker,
        ['run', '-d', '--name', name, '-p', publish, ...variables, image, ...args],
        60,
      )
    },
    async running() {
      const state = await run(docker, ['inspect', '-f', '{{.State.Running}}', name], 20)
      return state === 'true'
    },
    async kill(signal) {
      // The first process may be a shell around the server, so freezing takes the whole container.
      if (signal === 'SIGSTOP') await run(docker, ['pause', name], 20)
      else if (signal === 'SIGCONT') await run(docker, ['unpause', name], 20)
      else await end(signal === 'SIGTERM' ? 20 : 0)
    },
    async log() {
      const logs = promisify(execFile)(docker, ['logs', '--tail', '25', name])
      const { stdout, stderr } = await logs.catch(() => ({ stdout: '', stderr: '(no log)' }))
      return `${stdout}${stderr}`
    },
    async remove() {
      if (created) await run(docker, ['rm', '-f', '-v', name], 60)
      created = false
      await guard.dismiss()
    },
  }
}

async function run(docker: string, args: string[], seconds: number): Promise<string> {
  const { stdout } = await promisify(execFile)(docker, args, { timeout: seconds * 1_000 })
  return stdout.trim()
}

function lastLine(error: unknown): string {
  return (
    String(error instanceof Error ? error.message : error)
      .trim()
      .split('\n')
      .at(-1) ?? ''
  )
}
