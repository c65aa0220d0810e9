/** Twilio's own library, by as much of it as the tests use: its declarations ask for further packages. */
import { createRequire } from 'node:module'

interface RequestOptions {
  uri: string
}

interface RequestClient {
  request(options: RequestOptions): Promise<unknown>
}

interface TwilioClient {
  messages: {
    create(fields: Record<string, unknown>): Promise<{ sid: string }>
    (sid: string): { feedback: { create(fields: { outcome: string }): Promise<unknown> } }
  }
}

interface TwilioLibrary {
  (
    username: string,
    password: string,
    options: { accountSid: string; httpClient: RequestClient },
  ): TwilioClient
  RequestClient: new (options: { keepAlive: boolean }) => RequestClient
  getExpectedTwilioSignature(
    authToken: string,
    url: string,
    params: Record<string, unknown>,
  ): string
  validateRequest(
    authToken: string,
    signature: string,
    url: string,
    params: Record<string, unknown>,
  ): boolean
}

export const twilio: TwilioLibrary = createRequire(import.meta.url)('twilio')

/** The vendor's client with its own HTTP, but with `baseUrl` for the address of the API. */
export function twilioClient(
  baseUrl: string,
  accountSid: string,
  username: string,
  password: string,
): TwilioClient {
  const http = new twilio.RequestClient({ keepAlive: false })
  const request = (options: RequestOptions) =>
    http.request({ ...options, uri: options.uri.replace('https://api.twilio.com', baseUrl) })
  return twilio(username, password, { accountSid, httpClient: { request } })
}
