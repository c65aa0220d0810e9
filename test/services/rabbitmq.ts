/** Starts a RabbitMQ of the test's own, which shares nothing with one the system runs. */
import { execFile } from 'node:child_process'
import { readdir, realpath } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { connect } from 'amqplib'
import { createContainerHost } from './docker.ts'
import { createLocalHost, type Program } from './local.ts'
import { findPlace, type Place } from './place.ts'
import { freePorts } from './ports.ts'
import { findProgram, isExecutable, searchPath } from './programs.ts'
import { type Host, launch, type Service, type StartOptions } from './service.ts'

const RABBITMQ = {
  name: 'RabbitMQ',
  program: 'rabbitmq-server with erl and epmd',
  find: findServer,
  image: 'rabbitmq:4',
  packages: { apt: 'rabbitmq-server', brew: 'rabbitmq' },
  variable: { name: 'AMQP_URL', example: 'amqp://guest:guest@127.0.0.1:5672' },
}

/** Where the packages of Debian, Ubuntu and RabbitMQ itself put the releases. */
const RELEASES = '/usr/lib/rabbitmq/lib'

interface Ports {
  node: number
  distribution: number
  epmd: number
}

/** The VM's settings, for `args` too: `['-rabbit', 'consumer_timeout', '5000']`. */
const VM_ARGS = [
  ['+S', '2:2'],
  // RabbitMQ lets its threads sleep at once, to be modest when idle. Starting, they hand work to
  // each other all the time, and with the VM's own default the start takes half as long.
  ['+sbwt', 'medium', '+sbwtdio', 'medium'],
  // The disk of a small machine must not block the publishers.
  ['-rabbit', 'disk_free_limit', '1000000'],
].flat()

/** As RabbitMQ ships, for whoever measures: threads that wait by spinning take a core's time from all others. */
export const AS_SHIPPED = ['+sbwt', 'none', '+sbwtdio', 'none']

export interface RabbitMQ extends Service {
  /** Runs rabbitmqctl and answers what it says. Of a server of this machine only. */
  control(...args: string[]): Promise<string>
}

/** Where a node finds the others of its cluster. */
export interface Membership {
  name: string
  /** The nodes to join, and this one. */
  names: string[]
  /** The port of the epmd that they share. */
  epmd: number
  cookie: string
}

export interface RabbitMQOptions extends StartOptions {
  /** For a node of a cluster; by default it is one of its own. */
  cluster?: Membership
}

export async function startRabbitMQ(options: RabbitMQOptions = {}): Promise<RabbitMQ> {
  const { args = [], signal, cluster } = options
  const path = searchPath(options.path)
  const place = await findPlace(RABBITMQ, path)
  const [node, distribution, epmd] = (await freePorts(3)) as [number, number, number]
  const ports = { node, distribution, epmd: cluster?.epmd ?? epmd }
  const vmArgs = [...VM_ARGS, ...(cluster ? clusterArgs(cluster) : []), ...args]
  const service = await launch({
    name: RABBITMQ.name,
    url: `amqp://guest:guest@127.0.0.1:${node}`,
    port: node,
    host: await createHost(place, path, ports, vmArgs, cluster),
    origin: place.origin,
    probe: rabbitMQVersion,
    deadline: 120,
    signal,
  })
  return Object.assign(service, {
    async control(...command: string[]) {
      if ('docker' in place || !service.folder) throw new Error('rabbitmqctl: not in a container')
      const program = join(dirname(place.program), 'rabbitmqctl')
      const cookie = cluster ? ['--erlang-cookie', cluster.cookie] : []
      const env = environment(service.folder, path, ports, [], cluster)
      const all = ['-n', nodeName(cluster), ...cookie, ...command]
      const { stdout } = await promisify(execFile)(program, all, { env, timeout: 60_000 })
      return stdout
    },
  })
}

const nodeName = (cluster: Membership | undefined): string =>
  `${cluster?.name ?? 'rabbit'}@localhost`

/** https://www.rabbitmq.com/docs/cluster-formation#peer-discovery-classic-config */
function clusterArgs({ names, cookie }: Membership): string[] {
  const nodes = names.map((name) => `${name}@localhost`).join()
  return ['-setcookie', cookie, '-rabbit', 'cluster_nodes', `{[${nodes}],disc}`]
}

/** The registry of names that the nodes of a cluster share, and that outlives each of them. */
export async function startEpmd(): Promise<{ port: number; stop(): Promise<void> }> {
  const path = searchPath()
  const epmd = await findEpmd(path)
  if (!epmd) throw new Error('epmd: expected it beside erl, found none')
  const [port] = (await freePorts(1)) as [number]
  const host = await createLocalHost('epmd', async () => [epmdProgram(epmd, port, process.env)])
  await host.start()
  return { port, stop: () => host.remove() }
}

// In the foreground and ours: the server would otherwise start one that outlives it.
const epmdProgram = (command: string, port: number, env: Program['env']): Program => ({
  command,
  args: ['-address', '127.0.0.1', '-port', String(port)],
  env,
})

/** The first exchange of AMQP, in which the server says what it is. */
export async function rabbitMQVersion(url: string): Promise<string> {
  const model = await connect(url, { timeout: 5_000 })
  model.on('error', () => {})
  const { version } = model.connection.serverProperties
  await model.close()
  return version
}

/**
 * The start script of the release itself. What Debian has on PATH is a wrapper, which changes to
 * another user and calls whatever stands in the folder under its own name.
 */
async function findServer(path: string): Promise<string | undefined> {
  const found = await findProgram('rabbitmq-server', path)
  if (!found || !(await findProgram('erl', path)) || !(await findEpmd(path))) return undefined
  const candidates = [await realpath(found), ...(await releases())]
  for (const server of candidates) {
    const isScript = basename(server) === 'rabbitmq-server'
    if (isScript && (await isExecutable(join(dirname(server), 'rabbitmq-env')))) return server
  }
  return undefined
}

/** Newest first. */
async function releases(): Promise<string[]> {
  const folders = await readdir(RELEASES).catch(() => [])
  return folders
    .filter((name) => name.startsWith('rabbitmq_server-'))
    .sort((one, other) => other.localeCompare(one, 'en', { numeric: true }))
    .map((name) => join(RELEASES, name, 'sbin', 'rabbitmq-server'))
}

/** Not every package links epmd to where erl is; it always is beside the real one. */
async function findEpmd(path: string): Promise<string | undefined> {
  const onPath = await findProgram('epmd', path)
  const erl = await findProgram('erl', path)
  return onPath ?? (erl && findProgram('epmd', dirname(await realpath(erl))))
}

async function createHost(
  place: Place,
  path: string,
  ports: Ports,
  vmArgs: string[],
  cluster: Membership | undefined,
): Promise<Host> {
  if ('docker' in place) {
    return createContainerHost(place.docker, {
      image: RABBITMQ.image,
      ports: { inside: 5672, outside: ports.node },
      env: { RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: vmArgs.join(' ') },
    })
  }
  const epmd = (await findEpmd(path)) as string
  return createLocalHost('rabbitmq', async (folder) => {
    const env = environment(folder, path, ports, vmArgs, cluster)
    const server = { command: place.program, args: [], env }
    return cluster ? [server] : [epmdProgram(epmd, ports.epmd, env), server]
  })
}

/** https://www.rabbitmq.com/docs/configure#supported-environment-variables */
function environment(
  folder: string,
  path: string,
  ports: Ports,
  vmArgs: string[],
  cluster: Membership | undefined,
): Program['env'] {
  const foreign = /^(RABBITMQ_|ERL_|NOTIFY_SOCKET$)/
  const inherited = Object.entries(process.env).filter(([name]) => !foreign.test(name))
  const distribution = ['-kernel', 'inet_dist_use_interface', '{127,0,0,1}']
  return {
    ...Object.fromEntries(inherited),
    PATH: path,
    HOME: folder,
    ERL_EPMD_ADDRESS: '127.0.0.1',
    ERL_EPMD_PORT: String(ports.epmd),
    RABBITMQ_NODENAME: nodeName(cluster),
    RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
    RABBITMQ_NODE_PORT: String(ports.node),
    RABBITMQ_DIST_PORT: String(ports.distribution),
    RABBITMQ_MNESIA_BASE: join(folder, 'mnesia'),
    RABBITMQ_LOG_BASE: join(folder, 'log'),
    RABBITMQ_LOGS: '-',
    // Files that do not exist: nothing of /etc/rabbitmq is read, and no plugin is enabled.
    RABBITMQ_CONF_ENV_FILE: join(folder, 'none.conf'),
    RABBITMQ_CONFIG_FILE: join(folder, 'none'),
    RABBITMQ_CONFIG_FILES: join(folder, 'none.d'),
    RABBITMQ_ADVANCED_CONFIG_FILE: join(folder, 'none.config'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'none.plugins'),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: [...distribution, ...vmArgs].join(' '),
    // The start script then becomes the server instead of a shell that waits for it, so that the
    // process we signal is the one that serves.
    RUNNING_UNDER_SYSTEMD: 'true',
  }
}
