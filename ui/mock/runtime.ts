import type { HttpHandler } from 'msw'
import type { Database } from './db'

/** Answers of the runtime area; handlers.ts joins them to the others. */
export function runtimeHandlers(_db: Database): HttpHandler[] {
  return []
}
