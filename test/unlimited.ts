/** Limits for a test of something else. */
export const UNLIMITED = {
  cooldown: false,
  phone: false,
  ip: false,
  prefix: false,
  failedChecksPerIp: false,
  conversion: false,
} as const
