/**
 * Keeps one AMQP connection, with everything set up on it, for as long as it is wanted.
 *
 * Over plain amqplib: its own recovery brings back the connection but neither channels nor consumers, and can adopt a
 * dead one; amqp-connection-manager can acknowledge a message on another channel than it came by. Here anything that
 * goes wrong, down to one channel, ends the whole connection, and all of it is built anew.
 */
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ChannelModel, connect, type Options } from 'amqplib'
import { withDeadline } from '../deadline.ts'
import type { Logger } from '../log.ts'
import { gatherWrites } from './gather-writes.ts'

/** Where RabbitMQ is: a URL, several to be tried in turn, or amqplib's connect options. */
export type AmqpAddress = string | string[] | Options.Connect

export interface Connection<Session> {
  /** What `setUp` made, while the connection is up. */
  session(): Session | undefined
  /** Whether the broker takes publishes; false during a memory or disk alarm. */
  accepting(): boolean
  /** Ends within seconds, whatever the peer does. */
  close(): Promise<void>
}

export interface ConnectionOptions<Session> {
  amqp: AmqpAddress
  /** Shown by `rabbitmqctl list_connections client_properties`. */
  name: string
  logger: Logger
  /**
   * Makes channels and consumers; runs on every new connection, `again` where there was one before. Calls `fail` when one of
   * them is lost.
   */
  setUp(connection: ChannelModel, fail: (error: Error) => void, again: boolean): Promise<Session>
}

/** Milliseconds. */
const CONNECT_TIMEOUT = 3000
const SET_UP_TIMEOUT = 3000
const START_TIMEOUT = 1000
const CLOSE_TIMEOUT = 1000
const BACKOFF_MIN = 100
const BACKOFF_MAX = 3000
const STEADY = 1000

/** Seconds. A frozen peer is noticed after two to three of them. */
const HEARTBEAT = 5

/**
 * Connects, trying each address at least once and again for a second, and rejects with the error that kept it from doing
 * so: in less than 5 s where nobody answers, in less than 9 s where the set-up is not answered. After that it never gives up.
 */
export async function keepConnected<Session>(
  options: ConnectionOptions<Session>,
): Promise<Connection<Session>> {
  const { name, logger, setUp } = options
  const addresses = addressList(options.amqp)
  const stop = new AbortController()
  let link: Link<Session> | undefined
  let started = false
  let blocked = false
  let fail: (error: Error) => void = () => {}

  async function open(address: string | Options.Connect): Promise<Link<Session>> {
    const connection = await connect(address, {
      timeout: CONNECT_TIMEOUT / addresses.length,
      noDelay: true,
      keepAlive: true,
      clientProperties: { connection_name: name },
    })
    const socket = socketOf(connection)
    if (socket) gatherWrites(socket)
    // Listening from the first moment: an 'error' event without a listener would end the process.
    let reason: Error | undefined
    const lost = new Promise<Error>((resolve) => {
      fail = (error) => {
        reason ??= error
        resolve(error)
      }
      connection.on('error', (error) => {
        reason = error
        resolve(error)
      })
      connection.on('close', (error) => resolve(error ?? new Error('connection closed')))
    })
    if (stop.signal.aborted) fail(new Error('closing'))
    blocked = false
    connection.on('blocked', (reason) => {
      blocked = true
      logger.warn(
        { event: 'amqp.blocked', connection: name, reason },
        'RabbitMQ takes no publishes',
      )
    })
    connection.on('unblocked', () => {
      blocked = false
      logger.info({ event: 'amqp.unblocked', connection: name }, 'RabbitMQ takes publishes again')
    })
    try {
      const session = await withDeadline(
        Promise.race([
          setUp(connection, fail, started),
          lost.then((error) => Promise.reject(error)),
        ]),
        SET_UP_TIMEOUT,
        'RabbitMQ did not set up the channels',
      )
      return { connection, session, lost }
    } catch (error) {
      await end(connection)
      // By now the connection has said why; the channels only say that they are gone.
      throw reason ?? error
    }
  }

  /** One life after the other until `close`. `onFirst` hears how the start went, once. */
  async function live(onFirst: (error?: Error) => void): Promise<void> {
    const giveUpAt = Date.now() + START_TIMEOUT
    for (let round = 0, failures = 0; !stop.signal.aborted; round++) {
      try {
        const address = addresses[round % addresses.length] as string | Options.Connect
        link = await open(address)
        const openedAt = Date.now()
        if (started)
          logger.info({ event: 'amqp.connected', connection: name }, 'connected to RabbitMQ again')
        started = true
        onFirst()
        const error = await link.lost
        const { connection } = link
        link = undefined
        // A connection that is lost as soon as it is made counts as a failed one.
        failures = Date.now() - openedAt < STEADY ? failures + 1 : 0
        if (!stop.signal.aborted) {
          logger.warn(
            { event: 'amqp.lost', connection: name, error: error.message },
            'lost RabbitMQ',
          )
        }
        await end(connection)
      } catch (error) {
        failures++
        if (!started && Date.now() >= giveUpAt && round + 1 >= addresses.length) {
          return onFirst(error as Error)
        }
        logger.warn(
          { event: 'amqp.failed', connection: name, error: (error as Error).message },
          'cannot connect to RabbitMQ yet',
        )
      }
      // Full jitter, so that a thousand processes do not come back to a restarted broker in step.
      const ceiling = Math.min(BACKOFF_MAX, BACKOFF_MIN * 2 ** failures)
      const left = started ? Number.POSITIVE_INFINITY : Math.max(giveUpAt - Date.now(), 0)
      const delay = Math.min(Math.random() * ceiling, left)
      await sleep(delay, undefined, { signal: stop.signal }).catch(() => {})
    }
  }

  let life: Promise<void> | undefined
  await new Promise<void>((resolve, reject) => {
    life = live((error) => {
      if (!error) return resolve()
      reject(new Error(`cannot connect to RabbitMQ: ${explain(error)}`, { cause: error }))
    })
  })

  return {
    session: () => link?.session,
    accepting: () => link !== undefined && !blocked,
    async close() {
      stop.abort()
      fail(new Error('closing'))
      await life
    },
  }
}

// What amqplib says when the broker closes the connection instead of opening the virtual host.
const explain = ({ message }: Error): string =>
  message.startsWith('Expected ConnectionOpenOk')
    ? 'the virtual host is not there, or not for this user'
    : message

interface Link<Session> {
  connection: ChannelModel
  session: Session
  lost: Promise<Error>
}

function addressList(amqp: AmqpAddress): (string | Options.Connect)[] {
  if (typeof amqp === 'object' && !Array.isArray(amqp)) {
    return [{ ...amqp, heartbeat: amqp.heartbeat ?? HEARTBEAT }]
  }
  return [amqp].flat().map((address) => {
    const url = new URL(address)
    if (!url.searchParams.has('heartbeat')) url.searchParams.set('heartbeat', String(HEARTBEAT))
    return url.href
  })
}

/** Ends a connection in good order if the peer takes part, else by its socket. */
async function end(connection: ChannelModel): Promise<void> {
  const polite = (async () => connection.close())()
  await withDeadline(polite, CLOSE_TIMEOUT, 'RabbitMQ did not close').catch(() => {})
  // With an error, since only that ends amqplib's heartbeat and settles the publishes that wait for a confirm.
  socketOf(connection)?.destroy(new Error('closed'))
}

// amqplib does not type its socket, and closing has no deadline of its own.
const socketOf = (connection: ChannelModel): Socket | undefined =>
  (connection.connection as unknown as { stream?: Socket }).stream
