/** By itself, since it is needed where no vendor is called and undici is not loaded. */

// A mark on the signal itself, since a WeakSet that much goes into and out of keeps the garbage collector busy.
const RELEASED = Symbol('released')
type Marked = AbortSignal & { [RELEASED]?: boolean }

/** `post` is done with it; or, false, a call begins with it. */
export function markReleased(signal: AbortSignal, is: boolean): void {
  ;(signal as Marked)[RELEASED] = is
}

export const isReleased = (signal: AbortSignal): boolean => (signal as Marked)[RELEASED] === true
