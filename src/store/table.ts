/** Expired rows that nobody asks for are swept out this often, in milliseconds. */
const SWEEP_INTERVAL = 60_000

/** A map whose rows are forgotten when they expire: when asked for, and swept out from time to time. */
export function createTable<Row extends { expires: number }>(now: () => number) {
  const rows = new Map<string, Row>()
  let swept = now()

  return {
    get(key: string): Row | undefined {
      const row = rows.get(key)
      if (row && row.expires > now()) return row
      rows.delete(key)
      return undefined
    },
    set(key: string, row: Row): Row {
      const at = now()
      if (at - swept >= SWEEP_INTERVAL) {
        for (const [key, { expires }] of rows) if (expires <= at) rows.delete(key)
        swept = at
      }
      rows.set(key, row)
      return row
    },
    delete: (key: string): boolean => rows.delete(key),
  }
}
