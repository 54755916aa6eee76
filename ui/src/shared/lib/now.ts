import { useSyncExternalStore } from 'react'

// One clock for the whole page: every relative time moves together, and only while somebody looks.
let now = Date.now()
let timer: ReturnType<typeof setInterval> | undefined
const listeners = new Set<() => void>()

function subscribe(listener: () => void) {
  listeners.add(listener)
  if (!timer) {
    now = Date.now()
    timer = setInterval(() => {
      now = Date.now()
      for (const each of listeners) each()
    }, 5_000)
  }
  return () => {
    listeners.delete(listener)
    if (listeners.size === 0 && timer) {
      clearInterval(timer)
      timer = undefined
    }
  }
}

/** The time now in ms, renewed every five seconds. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, () => now)
}
