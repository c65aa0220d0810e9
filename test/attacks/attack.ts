/** What an attack is, and what is said of it. */
import type { SmsVerifyOptions } from '../../src/plugin.ts'
import type { Siege } from './siege.ts'

export interface Attack {
  /** On the command line. */
  name: string
  /** In the table. */
  title: string
  /** Of the plugin, over its defaults, and what they are in the table's words. */
  options?: Partial<SmsVerifyOptions>
  optionsAre?: string
  /** Of the web server. @default 'trace' */
  logLevel?: string
  run(siege: Siege): Promise<Finding>
}

/** An attack on the rules alone, by a clock that is set on: for what takes days. */
export interface Calculation {
  name: string
  title: string
  calculate(small: boolean): Promise<Finding>
}

export interface Finding {
  /** What the attacker did. */
  tries: number
  /** What it brought. */
  through: number
  /** What it may bring. */
  most: number
  unit: string
  /** What it can bring in a day at the defaults. */
  aDay?: string
  notes?: string[]
}

export interface Result extends Finding {
  title: string
  name: string
  seconds: number
  problems: string[]
}
