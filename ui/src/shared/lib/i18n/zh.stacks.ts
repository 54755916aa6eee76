import type { stacks as en } from './en.stacks'
import type { Words } from './zh'

export const stacks: Words<typeof en> = {
  same: { token: '先把 API 令牌放入 SKERRY_TOKEN：在账户页的 API 令牌中创建。' },
}
