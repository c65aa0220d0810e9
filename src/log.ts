/** What is asked of a logger: the four levels of pino, Fastify's loggers and most others. */
export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}
