import type { stacks as en } from './en.stacks'
import type { Words } from './zh'

export const stacks: Words<typeof en> = {}
