/** By itself, since it is needed where no vendor is called and undici is not loaded. */

/** Signals that `post` has listened to and does not any more. */
export const released = new WeakSet<AbortSignal>()
