/** What may be sent and checked how often: the options and their defaults. */
import { type TProperties, Type } from '@sinclair/typebox'
import { invalidOptions } from './errors.ts'
import { expecting, withDefaults } from './validate.ts'

/** At most `max` in any `window` seconds. */
export interface Limit {
  max: number
  window: number
}

/** A limit on what came to nothing: wrong codes, or sends whose code nobody entered. */
export interface GrowingLimit extends Limit {
  /**
   * The limit grows with honest traffic: it is at least this share, from 0 to 1, of what was verified in the window.
   * @default 0
   */
  share?: number
}

export interface BudgetLimit extends GrowingLimit {
  /** What `max` counts: messages, or what they cost by `prices`. @default 'message' */
  unit?: 'message' | 'price'
}

type Limits<One extends Limit> = One | One[] | false

/**
 * `cooldown` and `phone` count every send to a number. The others are budgets for sends whose code nobody entered: a
 * success gives its units back, so honest traffic from one address passes and SMS pumping runs into the wall.
 */
export interface LimitsOptions {
  /**
   * `'shadow'` refuses nothing by a limit, and logs what it would have refused as `limit.shadow`: to find the right ones on
   * your traffic. What slows guessing down, the checks per verification and the failed ones in a row, holds all the same.
   * @default 'enforce'
   */
  mode?: 'enforce' | 'shadow'
  /**
   * Seconds to wait after the 1st, 2nd … send to a number without a success in between; the last one repeats.
   * @default [60, 120, 300]
   */
  cooldown?: number[] | false
  /**
   * Sends to one number, over all purposes and addresses.
   * @default [{ max: 5, window: 3600 }, { max: 10, window: 86400 }]
   */
  phone?: Limits<Limit>
  /**
   * Unverified sends from one IPv4 address or one IPv6 /64.
   * @default [{ max: 30, window: 600, share: 1 }, { max: 60, window: 86400, share: 1 }]
   */
  ip?: Limits<BudgetLimit>
  /**
   * Unverified sends to numbers that differ in their last four digits only.
   * @default [{ max: 20, window: 3600, share: 0.5 }]
   */
  prefix?: Limits<BudgetLimit>
  /**
   * Unverified sends to one country, each country by itself. What is right depends on your traffic.
   * @default false
   */
  country?: Limits<BudgetLimit>
  /**
   * Unverified sends in all: the most that an attack can cost. What is right depends on your traffic.
   * @default false
   */
  total?: Limits<BudgetLimit>
  /**
   * Wrong codes from one IPv4 address or one IPv6 /64, over all verifications.
   * @default [{ max: 30, window: 600, share: 0.5 }]
   */
  failedChecksPerIp?: Limits<GrowingLimit>
  /** What an SMS costs, by country and for all others by `default`, in any unit: for limits of unit `'price'`. */
  prices?: Record<string, number>
  /**
   * Alerts when fewer than the share `below` of a country's codes were entered in the last 24 hours, once it has had so many
   * `sends`: where SMS pumping goes to, or where no SMS arrives. With `false` it is not even counted.
   * @default { below: 0.2, sends: 100 }
   */
  conversion?: { below: number; sends: number } | false
}

const BALANCED = {
  mode: 'enforce',
  cooldown: [60, 120, 300],
  phone: [
    { max: 5, window: 3600 },
    { max: 10, window: 86_400 },
  ],
  // What people behind one address of a mobile carrier need, a thousand an hour of whom a fifth never enter their code.
  ip: [
    { max: 30, window: 600, share: 1 },
    { max: 60, window: 86_400, share: 1 },
  ],
  prefix: [{ max: 20, window: 3600, share: 0.5 }],
  country: false,
  total: false,
  failedChecksPerIp: [{ max: 30, window: 600, share: 0.5 }],
  prices: {},
  conversion: { below: 0.2, sends: 100 },
} satisfies Required<LimitsOptions>

/**
 * Limits for a start, number by number in the README: `balanced` is the default. `strict` is for where sign-ups are few and
 * attacks are not, and bounds the bill by itself.
 */
export const LIMITS = {
  balanced: BALANCED,
  strict: {
    ...BALANCED,
    cooldown: [60, 300, 900],
    phone: [
      { max: 3, window: 3600 },
      { max: 5, window: 86_400 },
    ],
    ip: [
      { max: 5, window: 600, share: 0.3 },
      { max: 15, window: 86_400, share: 0.3 },
    ],
    prefix: [{ max: 10, window: 3600, share: 0.3 }],
    country: [{ max: 100, window: 3600, share: 0.5 }],
    total: [{ max: 300, window: 3600, share: 0.5 }],
    failedChecksPerIp: [{ max: 10, window: 600, share: 0.3 }],
    conversion: { below: 0.3, sends: 50 },
  },
} satisfies Record<string, Required<LimitsOptions>>

/** The limits with their defaults. One that is there but undefined is one that is not there. */
export const effectiveLimits = (limits: Preset | LimitsOptions = {}): Required<LimitsOptions> =>
  typeof limits === 'string' ? LIMITS[limits] : withDefaults(BALANCED, limits)

export type Preset = keyof typeof LIMITS

/** Limits as the store takes them. */
export const toMilliseconds = <One extends Limit>(limits: One | One[] | false): One[] => {
  const all = limits === false ? [] : Array.isArray(limits) ? limits : [limits]
  return all.map((one) => ({ ...one, window: one.window * 1000 }))
}

/** Whole seconds, never more than there are. */
export const secondsLeft = (ms: number): number => Math.max(0, Math.floor(ms / 1000))

/** Whole seconds, never fewer than it takes: who waits that long is let in. */
export const secondsToWait = (ms: number, least = 0): number =>
  Math.max(least, Math.ceil(ms / 1000))

const LimitSchema = {
  max: Type.Integer({ minimum: 1 }),
  window: Type.Integer({ minimum: 1, maximum: 31 * 86_400 }),
}

const limits = (properties: TProperties, expected: string) => {
  const one = Type.Object(properties, { additionalProperties: false })
  return Type.Optional(
    expecting(Type.Union([one, Type.Array(one, { minItems: 1 }), Type.Literal(false)]), expected),
  )
}

const plain = limits(
  LimitSchema,
  '{ max, window } in whole messages and seconds, an array of them, or false',
)
const GrowingSchema = {
  ...LimitSchema,
  share: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
}
const growing = limits(
  GrowingSchema,
  '{ max, window } in whole checks and seconds, with share from 0 to 1 if wanted, an array of them, or false',
)
const budget = limits(
  {
    ...GrowingSchema,
    max: Type.Number({ minimum: 0.001 }),
    unit: Type.Optional(Type.Union([Type.Literal('message'), Type.Literal('price')])),
  },
  "{ max, window } in messages and whole seconds, with share from 0 to 1 and unit 'message' or 'price' if wanted, an array of them, or false",
)

const each = Type.Object(
  {
    mode: Type.Optional(
      expecting(
        Type.Union([Type.Literal('enforce'), Type.Literal('shadow')]),
        "'enforce' or 'shadow'",
      ),
    ),
    cooldown: Type.Optional(
      expecting(
        Type.Union([
          Type.Array(Type.Integer({ minimum: 0, maximum: 86_400 }), { minItems: 1 }),
          Type.Literal(false),
        ]),
        'an array of whole seconds, or false',
      ),
    ),
    phone: plain,
    ip: budget,
    prefix: budget,
    country: budget,
    total: budget,
    failedChecksPerIp: growing,
    prices: Type.Optional(
      expecting(
        Type.Record(Type.String(), Type.Number({ minimum: 0, maximum: 1e6 })),
        'an object of prices by country, and default for all others',
      ),
    ),
    conversion: Type.Optional(
      expecting(
        Type.Union([
          Type.Object(
            { below: Type.Number({ minimum: 0, maximum: 1 }), sends: Type.Integer({ minimum: 1 }) },
            { additionalProperties: false },
          ),
          Type.Literal(false),
        ]),
        '{ below, sends } with a share from 0 to 1 and a whole number, or false',
      ),
    ),
  },
  { additionalProperties: false },
)

export const LimitsSchema = expecting(each, "'balanced', 'strict' or an object")

export const isPreset = (limits: unknown): limits is Preset =>
  typeof limits === 'string' && Object.hasOwn(LIMITS, limits)

/** What a schema cannot say. */
export function checkLimits(where: string, options: Preset | LimitsOptions | undefined): void {
  const { phone, ip, prefix, country, total, failedChecksPerIp, prices } = effectiveLimits(options)
  const all = { phone, ip, prefix, country, total, failedChecksPerIp }
  for (const [name, limit] of Object.entries(all)) {
    const option = `${where}: limits.${name}`
    const budgets: BudgetLimit[] = toMilliseconds<BudgetLimit>(limit)
    const keys = budgets.map(
      ({ window, unit }) => `${window / 1000} s${unit === 'price' ? ' by price' : ''}`,
    )
    const twice = keys.find((key, i) => keys.indexOf(key) < i)
    if (twice !== undefined) {
      throw new invalidOptions(`${option}: expected different windows, got two of ${twice}`)
    }
    const parts = budgets.find(({ max, unit }) => unit !== 'price' && !Number.isInteger(max))
    if (parts) {
      throw new invalidOptions(`${option}: expected whole messages, got a max of ${parts.max}`)
    }
    if (budgets.some(({ unit }) => unit === 'price') && prices.default === undefined) {
      throw new invalidOptions(
        `${option}: expected limits.prices.default beside unit 'price', got none`,
      )
    }
  }
}
