import { useSyncExternalStore } from 'react'

/**
 * What a person chose for this browser: theme and language. Kept in local storage under the names that
 * public/first-paint.js reads; a browser that refuses storage simply forgets.
 */
export type ThemeChoice = 'system' | 'light' | 'dark'
export type Language = 'en' | 'zh'

export interface Preferences {
  theme: ThemeChoice
  language: Language
}

function read(name: string): string | null {
  try {
    return localStorage.getItem(`skerry.${name}`)
  } catch {
    return null
  }
}

function write(name: string, value: string | null) {
  try {
    if (value === null) localStorage.removeItem(`skerry.${name}`)
    else localStorage.setItem(`skerry.${name}`, value)
  } catch {
    // Storage refused: the choice holds until the page is left.
  }
}

function initial(): Preferences {
  const theme = read('theme')
  const language = read('language') ?? (navigator.language.toLowerCase().startsWith('zh') ? 'zh' : 'en')
  return { theme: theme === 'light' || theme === 'dark' ? theme : 'system', language: language === 'zh' ? 'zh' : 'en' }
}

let current = initial()
const listeners = new Set<() => void>()

function change(next: Preferences) {
  current = next
  for (const listener of listeners) listener()
}

export function setTheme(theme: ThemeChoice) {
  write('theme', theme === 'system' ? null : theme)
  change({ ...current, theme })
}

export function setLanguage(language: Language) {
  write('language', language)
  change({ ...current, language })
}

export function preferences(): Preferences {
  return current
}

export function subscribePreferences(listener: () => void): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

export function usePreferences(): Preferences {
  return useSyncExternalStore(subscribePreferences, preferences)
}
