import type { HttpHandler } from 'msw'
import type { Database } from './db'

/** Answers of the registry area; handlers.ts joins them to the others. */
export function registryHandlers(_db: Database): HttpHandler[] {
  return []
}
