/** What outlives a reload, in the session storage of the tab. */

export interface Saved {
  id?: string | undefined
  phone?: string | undefined
  codeLength?: number | undefined
  /** Idempotency key of a send whose answer is not there yet. */
  key?: string | undefined
}

// There may be no storage: on a server, in a frame, by a setting. Then a reload starts anew.
export function load(place: string): Saved {
  try {
    return JSON.parse(sessionStorage.getItem(place) ?? '{}')
  } catch {
    return {}
  }
}

export function save(place: string, saved: Saved | false): void {
  try {
    if (saved) sessionStorage.setItem(place, JSON.stringify(saved))
    else sessionStorage.removeItem(place)
  } catch {
    // Nor can it be emptied.
  }
}
