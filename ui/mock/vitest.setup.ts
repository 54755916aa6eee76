import { afterEach } from 'vitest'
import { cleanup, configure } from '@testing-library/react'
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

// The machine that runs the tests may be busy with other things. Computing what is hidden asks jsdom for the style of every
// element, which takes seconds over Ant Design's sheets; the browser tests see what is really visible.
configure({ asyncUtilTimeout: 10_000, defaultHidden: true })

startI18n()
afterEach(cleanup)
