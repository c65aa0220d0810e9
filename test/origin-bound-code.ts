/** Reads an SMS as a browser does: the parsing algorithm of https://wicg.github.io/sms-one-time-codes/. */

export interface OriginBoundCode {
  host: string
  code: string
  /** Host of the frame that may have it, where it is not the page. */
  embedded: string | null
}

/** Null if there is none: nothing stands on the last line but the code and what it is bound to. */
export function parseOriginBoundCode(text: string): OriginBoundCode | null {
  const line = text.replace(/\r\n?/g, '\n').split('\n').at(-1) ?? ''
  const [, host, code, embedded = null] =
    /^@([^ #@]+) #([^ ]+)(?: @([^ ]+))?(?: .*)?$/.exec(line) ?? []
  return host === undefined || code === undefined ? null : { host, code, embedded }
}
