import { afterEach } from 'vitest'
import { cleanup } from '@testing-library/react'
import { startI18n } from '@/shared/lib/i18n'

// What Ant Design asks of a browser and jsdom lacks.
globalThis.matchMedia ??= ((query: string) => ({
  matches: false,
  media: query,
  onchange: null,
  addEventListener: () => {},
  removeEventListener: () => {},
  addListener: () => {},
  removeListener: () => {},
  dispatchEvent: () => false,
})) as typeof matchMedia
globalThis.ResizeObserver ??= class {
  observe() {}
  unobserve() {}
  disconnect() {}
}

startI18n()
afterEach(cleanup)
