import type { Language } from './preferences'
import { clusterSentences, uncoded } from './sentences.cluster'

/**
 * The server speaks English, with a reason code beside each sentence. For the codes that people meet most, the console says
 * the same in Chinese and keeps the original at hand. Each form of a sentence is recognized whole; what is not recognized,
 * because it is new or says more than it used to, is shown as it came. sentences.test.ts holds the codes to the Go code.
 */
export interface Said {
  text: string
  /** The server's own sentence, where `text` is not it. */
  original?: string
}

export interface Form {
  /** The English sentence; names in capitals are its blanks. */
  en: string
  zh: string
}

/**
 * Blanks: what stands in each, as a pattern. Names of objects hold no space; a TEXT or MORE is whatever remains, and may be a
 * sentence of ours itself; a LIST is several of them, parted by semicolons.
 */
const blanks: Record<string, string> = {
  NAME: '\\S+',
  OTHER: '\\S+',
  THIRD: '\\S+',
  WHO: '\\S+?',
  N: '\\d+',
  M: '\\d+',
  SECONDS: '[\\d.]+',
  LEFT: '.+?',
  TEXT: '.+',
  MORE: '.+',
  LIST: '.+',
  TIME: '[\\d:]+ \\S+',
  WORD: '\\w+',
  REPLICA: 'replicas?',
  COUNT: '(?:no|\\d+) replicas?',
  LOAD: '(?:no|\\d+) containers?(?:, \\d+ % reserved)?',
}

/** What stands in Chinese for the blanks that are no names. */
const worded: Record<string, (found: string) => string> = {
  TEXT: (found) => sayAny(found) ?? found,
  MORE: (found) => sayAny(found) ?? found,
  LIST: (found) => sayList(found.split('; ')).join('；'),
  COUNT: (found) => String(Number.parseInt(found) || 0),
  LOAD: (found) => {
    const [, containers, reserved] = /^(\w+) containers?(?:, (\d+) %)?/.exec(found) ?? []
    return `${Number(containers) || 0} 个容器${reserved ? `，已预留 ${reserved} %` : ''}`
  },
}

const catalogue: Record<string, Form[]> = {
  // Conditions and problems
  OutOfMemory: [
    { en: 'the kernel ended it because it used more memory than its limit: raise the limit or use less', zh: '内存用量超过上限，已被内核结束：请调高上限，或减少用量' },
    { en: 'container NAME was killed because it used more than its memory limit; raise the limit', zh: '容器 NAME 的内存用量超过上限，已被结束；请调高上限' },
  ],
  Exited: [
    { en: 'container NAME ended with exit code N; its log may say why', zh: '容器 NAME 以退出码 N 结束；原因可能在日志中' },
    { en: 'container NAME was ended because it used more memory than its limit: TEXT', zh: '容器 NAME 因内存用量超过上限而被结束：TEXT' },
    { en: 'container NAME ended with status N: TEXT', zh: '容器 NAME 以状态 N 结束：TEXT' },
    { en: 'container NAME was ended because it used more memory than its limit', zh: '容器 NAME 因内存用量超过上限而被结束' },
    { en: 'container NAME ended with status N', zh: '容器 NAME 以状态 N 结束' },
    { en: 'container NAME ended', zh: '容器 NAME 已结束' },
  ],
  CommandNotFound: [{ en: 'TEXT was not found in the image or its $PATH: check the command', zh: '镜像及其 $PATH 中找不到 TEXT：请检查命令' }],
  CommandNotExecutable: [{ en: 'TEXT in the image is not an executable file: choose another command or fix its mode', zh: '镜像中的 TEXT 不是可执行文件：请更换命令，或修正其权限' }],
  EngineAway: [{ en: 'the engine does not answer; it is being restarted', zh: '引擎没有响应，正在重启' }],
  NotRunning: [
    { en: 'failed: N containers cannot run', zh: '失败：N 个容器无法运行' },
    { en: 'failed: 1 container cannot run', zh: '失败：1 个容器无法运行' },
    { en: 'N of M running, 1 cannot', zh: '运行中 N / M，1 个无法运行' },
  ],
  NodeNotReady: [{ en: 'it is not ready; its daemon may be starting or away', zh: '尚未就绪；其守护进程可能正在启动，或已离线' }],
  DiskNearlyFull: [{ en: 'its disk is N % full; remove images or volumes that nobody needs', zh: '磁盘已用 N %；请删除不再需要的镜像或数据卷' }],
  MemoryNearlyFull: [{ en: 'N % of its memory is used; scale down or add a node', zh: '内存已用 N %；请缩减副本，或增加主机' }],

  // Events of apps and services
  Deployed: [{ en: 'app NAME was deployed by WHO as revision N: TEXT', zh: 'WHO 部署了应用 NAME，版本 N：TEXT' }],
  Removing: [{ en: 'app NAME is being removed by WHO', zh: 'WHO 正在删除应用 NAME' }],
  Removed: [
    { en: 'app NAME is gone; its ports are free again', zh: '应用 NAME 已删除，端口已释放' },
    { en: 'container NAME is gone', zh: '容器 NAME 已删除' },
    { en: 'node NAME was removed by WHO', zh: 'WHO 移除了主机 NAME' },
  ],
  Started: [
    { en: 'app NAME was started by WHO', zh: 'WHO 启动了应用 NAME' },
    { en: 'service NAME of app OTHER was started by WHO', zh: 'WHO 启动了应用 OTHER 的服务 NAME' },
  ],
  Stopped: [
    { en: 'app NAME was stopped by WHO', zh: 'WHO 停止了应用 NAME' },
    { en: 'service NAME of app OTHER was stopped by WHO', zh: 'WHO 停止了应用 OTHER 的服务 NAME' },
  ],
  Scaled: [{ en: 'service NAME of app OTHER was scaled from N to M by WHO', zh: 'WHO 将应用 OTHER 的服务 NAME 从 N 个副本调整为 M 个' }],
  PortAllocated: [{ en: 'service NAME of app OTHER got port N/WORD for its port M', zh: '应用 OTHER 的服务 NAME 分得端口 N/WORD，转发到容器的 M' }],

  // Events of containers
  Running: [{ en: 'container NAME is running', zh: '容器 NAME 正在运行' }],
  BackOff: [
    { en: 'container NAME was ended because it used more memory than its limit: TEXT; it is started again at TIME', zh: '容器 NAME 因内存用量超过上限而被结束；将于 TIME 重新启动' },
    { en: 'container NAME was ended because it used more memory than its limit; it is started again at TIME', zh: '容器 NAME 因内存用量超过上限而被结束；将于 TIME 重新启动' },
    { en: 'container NAME ended with status N: TEXT; it is started again at TIME', zh: '容器 NAME 以状态 N 结束：TEXT；将于 TIME 重新启动' },
    { en: 'container NAME ended with status N; it is started again at TIME', zh: '容器 NAME 以状态 N 结束；将于 TIME 重新启动' },
    { en: 'container NAME ended; it is started again at TIME', zh: '容器 NAME 已结束；将于 TIME 重新启动' },
  ],
  Failed: [
    { en: 'container NAME cannot start: TEXT', zh: '容器 NAME 无法启动：TEXT' },
    { en: 'container NAME cannot start', zh: '容器 NAME 无法启动' },
  ],
  Stop: [{ en: 'WHO asked container NAME to stop', zh: 'WHO 要求停止容器 NAME' }],
  Start: [{ en: 'WHO asked container NAME to start', zh: 'WHO 要求启动容器 NAME' }],
  Restart: [{ en: 'WHO asked container NAME to restart', zh: 'WHO 要求重启容器 NAME' }],
  Kill: [{ en: 'WHO asked container NAME to kill', zh: 'WHO 要求强制结束容器 NAME' }],

  // Events of everything else
  Created: [
    { en: 'volume NAME was made', zh: '数据卷 NAME 已创建' },
    { en: 'tenant NAME was made', zh: '租户 NAME 已创建' },
    { en: 'user NAME was made by WHO', zh: 'WHO 创建了用户 NAME' },
    { en: 'the cluster was made, with node NAME as its first', zh: '集群已创建，首台主机是 NAME' },
    { en: 'repository NAME was made (WORD)', zh: '镜像仓库 NAME 已创建（WORD）' },
  ],
  Deleted: [
    { en: 'volume NAME was deleted by WHO', zh: 'WHO 删除了数据卷 NAME' },
    { en: 'image NAME was deleted by WHO', zh: 'WHO 删除了镜像 NAME' },
    { en: 'user NAME was deleted by WHO', zh: 'WHO 删除了用户 NAME' },
    { en: 'repository NAME was deleted by WHO', zh: 'WHO 删除了镜像仓库 NAME' },
    { en: 'tenant NAME was deleted', zh: '租户 NAME 已删除' },
  ],
  Added: [{ en: 'image NAME was added', zh: '已加入镜像 NAME' }],
  Updated: [{ en: 'image NAME has new content', zh: '镜像 NAME 的内容已更新' }],
  Pushed: [{ en: 'WHO pushed NAME', zh: 'WHO 推送了 NAME' }],
  TagDeleted: [{ en: 'WHO deleted the tag NAME', zh: 'WHO 删除了标签 NAME' }],
  ManifestDeleted: [{ en: 'WHO deleted OTHER from NAME', zh: 'WHO 从 NAME 删除了 OTHER' }],
  VisibilityChanged: [{ en: 'repository NAME is OTHER now, it was THIRD', zh: '镜像仓库 NAME 现为 OTHER，原为 THIRD' }],
  Joined: [
    { en: 'node NAME joined', zh: '主机 NAME 已加入' },
    { en: 'node NAME joined as member', zh: '主机 NAME 已加入，成为管理主机' },
    { en: 'node NAME joined as worker', zh: '主机 NAME 已加入，成为工作主机' },
  ],
  Ready: [{ en: 'node NAME is ready', zh: '主机 NAME 已就绪' }],
  NotReady: [
    { en: 'node NAME is not ready: TEXT', zh: '主机 NAME 未就绪：TEXT' },
    { en: 'node NAME is not ready', zh: '主机 NAME 未就绪' },
  ],
  CertificateReset: [{ en: "the control plane uses the certificates of the cluster's own authority again", zh: '控制平面已改回使用集群自己签发的证书' }],
  CertificateSet: [{ en: 'an uploaded certificate for LEFT is used for the control plane, until TEXT', zh: '控制平面使用上传的 LEFT 证书，有效期至 TEXT' }],
  CertificateExpires: [{ en: 'the uploaded certificate for LEFT ends on NAME, in less than TEXT: upload its successor', zh: '上传的 LEFT 证书将于 NAME 到期：请上传新证书' }],
  CertificateExpired: [{ en: "the uploaded certificate for LEFT ended on NAME; the cluster's own is used instead: upload its successor", zh: '上传的 LEFT 证书已于 NAME 到期，现改用集群自己签发的证书：请上传新证书' }],
  ...clusterSentences,
}

/** The reason codes that have Chinese sentences. */
export const knownReasons = Object.keys(catalogue)

const names = Object.keys(blanks).join('|')

interface Compiled {
  pattern: RegExp
  fields: string[]
  zh: string
}

const compiled = new Map<string, Compiled[]>()

function formsOf(reason: string): Compiled[] {
  let forms = compiled.get(reason)
  if (!forms) {
    forms = (Object.hasOwn(catalogue, reason) ? (catalogue[reason] ?? []) : []).map(compile)
    compiled.set(reason, forms)
  }
  return forms
}

function compile({ en, zh }: Form): Compiled {
  const fields: string[] = []
  const pattern = en
    .split(new RegExp(`\\b(${names})\\b`))
    .map((part, i) => {
      if (i % 2 === 0) return part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
      fields.push(part)
      return `(${blanks[part]})`
    })
    .join('')
  return { pattern: new RegExp(`^${pattern}\\.?$`, 's'), fields, zh }
}

/** What the server puts before a sentence about an object: who it is about is shown beside it. */
const about = /^(?:App|Node) "[^"]*": /

/** A sentence of the server in the language of the console. Where it comes without a reason code, `reason` is empty. */
export function say(language: Language, reason: string, message: string): Said {
  if (language !== 'zh') return { text: message }
  const bare = message.replace(about, '')
  const text = sayBy(formsOf(reason), bare) ?? sayBy(sayings(), bare)
  return text === undefined ? { text: message } : { text, original: message }
}

function sayBy(forms: Compiled[], message: string): string | undefined {
  for (const { pattern, fields, zh } of forms) {
    const found = pattern.exec(message)
    if (!found) continue
    const values = new Map(fields.map((field, i) => [field, worded[field]?.(found[i + 1] ?? '') ?? found[i + 1] ?? '']))
    return zh.replace(new RegExp(`\\b(${names})\\b`, 'g'), (name) => values.get(name) ?? name)
  }
  return undefined
}

/** Conditions whose sentences stand within other sentences. */
const causes = ['OutOfMemory', 'CommandNotFound', 'CommandNotExecutable', 'EngineAway', 'NodeNotReady', 'DiskNearlyFull', 'MemoryNearlyFull', 'NoMember']

let known: Compiled[] | undefined

/** The sentences without a code. */
function sayings(): Compiled[] {
  return (known ??= uncoded.map(compile))
}

function sayAny(message: string): string | undefined {
  return sayBy([...causes.flatMap(formsOf), ...sayings()], message)
}

/** The parts of a list; a sentence of ours may hold the semicolon that parts the list. */
function sayList(parts: string[]): string[] {
  const said: string[] = []
  for (let i = 0; i < parts.length; ) {
    let end = i + 1
    // A cause with a semicolon of its own ends the part that it stands in.
    for (let j = i + 2; j <= parts.length && j <= i + 3; j++) {
      const [, cause] = /^\S+ is not ready: (.+)$/s.exec(parts.slice(i, j).join('; ')) ?? []
      if (cause && sayBy(causes.flatMap(formsOf), cause) !== undefined) end = j
    }
    const part = parts.slice(i, end).join('; ')
    said.push(sayAny(part) ?? part)
    i = end
  }
  return said
}
