import type { runtime as en } from './en.runtime'
import type { Words } from './zh'

export const runtime: Words<typeof en> = {}
