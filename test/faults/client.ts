/** HTTP to the servers under test. Nothing throws: no answer is an answer, too. */
import { Agent, type IncomingHttpHeaders, type OutgoingHttpHeaders, request } from 'node:http'

export interface Question {
  port: number
  path: string
  method?: string
  headers?: OutgoingHttpHeaders
  body?: string | undefined
}

export interface RawAnswer {
  /** 0 when there was no answer. */
  status: number
  headers: IncomingHttpHeaders
  text: string
}

export interface Answer {
  status: number
  body: Record<string, unknown>
}

export interface Client {
  ask(question: Question): Promise<RawAnswer>
  post(port: number, path: string, body: object, headers?: OutgoingHttpHeaders): Promise<Answer>
  get(port: number, path: string): Promise<Answer>
  close(): void
}

const NOTHING: RawAnswer = { status: 0, headers: {}, text: '' }

/** Waits for each answer as long as a person does, in milliseconds. */
export function createClient(timeout = 4000): Client {
  // As many as there are people: nobody queues before the server.
  const agent = new Agent({ keepAlive: true })

  function ask({ port, path, method = 'POST', headers, body }: Question): Promise<RawAnswer> {
    return new Promise((resolve) => {
      const outgoing = request({
        ...{ agent, host: '127.0.0.1', port, path, method, timeout },
        headers: headers ?? {},
      })
      outgoing.on('timeout', () => outgoing.destroy(new Error('timeout')))
      outgoing.on('error', () => resolve(NOTHING))
      outgoing.on('response', async (response) => {
        try {
          let text = ''
          for await (const chunk of response.setEncoding('utf8')) text += chunk
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text })
        } catch {
          resolve(NOTHING)
        }
      })
      outgoing.end(body)
    })
  }

  return {
    ask,
    async post(port, path, body, headers) {
      const json = { 'content-type': 'application/json', ...headers }
      return readJson(await ask({ port, path, headers: json, body: JSON.stringify(body) }))
    },
    get: async (port, path) => readJson(await ask({ port, path, method: 'GET' })),
    close: () => agent.destroy(),
  }
}

export function readJson({ status, text }: RawAnswer): Answer {
  try {
    return { status, body: JSON.parse(text) }
  } catch {
    return { status: 0, body: {} }
  }
}
