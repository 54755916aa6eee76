import type { HttpHandler } from 'msw'
import type { Database } from './db'

/** Answers of the stacks area; handlers.ts joins them to the others. */
export function stacksHandlers(_db: Database): HttpHandler[] {
  return []
}
