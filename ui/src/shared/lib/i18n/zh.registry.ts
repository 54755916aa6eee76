import type { registry as en } from './en.registry'
import type { Words } from './zh'

export const registry: Words<typeof en> = {}
