/** A server the tests may stop, break and start again, wherever it runs. */
import { setTimeout as delay } from 'node:timers/promises'

export type Signal = 'SIGKILL' | 'SIGTERM' | 'SIGSTOP' | 'SIGCONT'

/** Where a server runs: processes of this machine, or a container. */
export interface Host {
  readonly pid: number | undefined
  readonly folder: string | undefined
  /** Starts the server, again too, on the same port and with what it had stored. */
  start(): Promise<void>
  running(): Promise<boolean>
  /** Delivers the signal; of one that ends the server, resolves when it has ended. */
  kill(signal: Signal): Promise<void>
  /** The last lines the server wrote. */
  log(): Promise<string>
  /** Ends the server at once and removes everything it has left. */
  remove(): Promise<void>
}

export interface Endpoint {
  readonly name: string
  readonly url: string
  readonly version: string
  /** How it was had, in words for the reader of the test output. */
  readonly origin: string
}

export interface Service extends Endpoint, AsyncDisposable {
  readonly port: number
  /** The server's process, which changes with every start; undefined when down or in a container. */
  readonly pid: number | undefined
  /** Its temporary folder; undefined in a container. */
  readonly folder: string | undefined
  /** SIGKILL by default. SIGSTOP and SIGCONT freeze and thaw it; its port stays bound meanwhile. */
  kill(signal?: Signal): Promise<void>
  /** Shuts the server down in order if it runs, and starts it on the same port and folder. */
  restart(): Promise<void>
  /** Ends the server and removes its folder. Does nothing the second time. */
  stop(): Promise<void>
}

export interface StartOptions {
  /** Further arguments, after and above ours: of redis-server, or of RabbitMQ's Erlang VM. */
  args?: string[]
  /** Folders to look for programs in. @default the PATH of this process */
  path?: string
  /** Gives up starting. What has been started until then is removed. */
  signal?: AbortSignal | undefined
}

export interface Launch {
  name: string
  url: string
  port: number
  host: Host
  origin: string
  /** Talks to the server once, as its clients do, and answers with its version. */
  probe: (url: string) => Promise<string>
  /** Seconds a start may take, on the slowest machine that is not broken. */
  deadline: number
  signal?: AbortSignal | undefined
}

export async function launch(options: Launch): Promise<Service> {
  const { host, name, url, port, origin } = options
  let removal: Promise<void> | undefined

  async function begin(): Promise<string> {
    await host.start()
    return ready(options)
  }

  function stop(): Promise<void> {
    removal ??= host.remove()
    return removal
  }

  try {
    const version = await begin()
    return {
      name,
      url,
      port,
      origin,
      version,
      get pid() {
        return host.pid
      },
      folder: host.folder,
      kill: (signal = 'SIGKILL') => host.kill(signal),
      async restart() {
        if (removal) throw new Error(`${name} at ${url} has been stopped and its folder removed`)
        await host.kill('SIGTERM')
        await begin()
      },
      stop,
      [Symbol.asyncDispose]: stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

async function ready({ host, name, url, probe, deadline, signal }: Launch): Promise<string> {
  const until = Date.now() + deadline * 1_000
  for (;;) {
    signal?.throwIfAborted()
    // Asked before the probe: a server that ends right after answering is the next caller's finding.
    const running = await host.running()
    try {
      return await probe(url)
    } catch (cause) {
      const failure = running
        ? `did not answer at ${url} within ${deadline} s`
        : 'ended while starting'
      if (!running || Date.now() > until) {
        throw new Error(`${name} ${failure}. Its last lines:\n${await host.log()}`, { cause })
      }
    }
    await delay(50)
  }
}
