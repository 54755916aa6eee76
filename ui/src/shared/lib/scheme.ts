import { useSyncExternalStore } from 'react'
import { usePreferences } from './preferences'
import type { Scheme } from './tokens'

const dark = matchMedia('(prefers-color-scheme: dark)')

function subscribe(listener: () => void) {
  dark.addEventListener('change', listener)
  return () => dark.removeEventListener('change', listener)
}

/** The scheme in force, for what is not drawn by CSS: what the person chose, else what the system says. */
export function useScheme(): Scheme {
  const { theme } = usePreferences()
  const systemDark = useSyncExternalStore(subscribe, () => dark.matches)
  return theme === 'system' ? (systemDark ? 'dark' : 'light') : theme
}
