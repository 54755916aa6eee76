import type { Language } from './preferences'

const iec = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const

/** Bytes with an IEC unit: three significant digits at most, never "1024 KiB". */
export function formatBytes(bytes: number): string {
  if (!Number.isFinite(bytes)) return '–'
  let value = Math.abs(bytes)
  let unit = 0
  while (value >= 1023.5 && unit < iec.length - 1) {
    value /= 1024
    unit++
  }
  const digits = unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2
  const number = String(Number(value.toFixed(digits)))
  return `${bytes < 0 ? '-' : ''}${number} ${iec[unit]}`
}

/** CPU as a number of cores. */
export function formatCores(cores: number): string {
  if (!Number.isFinite(cores)) return '–'
  return String(Number(cores.toFixed(cores < 0.1 ? 3 : 2)))
}

export function formatPercent(share: number): string {
  if (!Number.isFinite(share)) return '–'
  const percent = share * 100
  return `${percent > 0 && percent < 9.95 ? Number(percent.toFixed(1)) : Math.round(percent)} %`
}

const steps: [Intl.RelativeTimeFormatUnit, number][] = [
  ['year', 31_557_600],
  ['month', 2_629_800],
  ['week', 604_800],
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
  ['second', 1],
]

// Making a formatter costs a hundred times more than using it, and a list shows hundreds of times.
const relative: Record<Language, Intl.RelativeTimeFormat> = {
  en: new Intl.RelativeTimeFormat('en', { numeric: 'always' }),
  zh: new Intl.RelativeTimeFormat('zh-CN', { numeric: 'always' }),
}
const exactFormat: Intl.DateTimeFormatOptions = {
  year: 'numeric',
  month: '2-digit',
  day: '2-digit',
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  timeZoneName: 'short',
  hour12: false,
}
const exact: Record<Language, Intl.DateTimeFormat> = { en: new Intl.DateTimeFormat('en-GB', exactFormat), zh: new Intl.DateTimeFormat('zh-CN', exactFormat) }

/** The time between then and now in the largest unit that fits ("3 minutes ago"); under five seconds it is "now". */
export function formatRelative(then: Date, now: Date, language: Language): string {
  const seconds = (then.getTime() - now.getTime()) / 1000
  const format = relative[language]
  if (Math.abs(seconds) < 5) return language === 'zh' ? '刚刚' : 'now'
  for (const [unit, size] of steps) {
    if (Math.abs(seconds) >= size) return spaced(format.format(Math.trunc(seconds / size), unit), language)
  }
  return ''
}

/** The exact local time with its zone. */
export function formatExact(then: Date, language: Language): string {
  return exact[language].format(then)
}

/** A length of time in its two largest units. */
export function formatDuration(seconds: number, language: Language): string {
  const units: [number, string, string][] = [
    [86_400, 'd', '天'],
    [3_600, 'h', '小时'],
    [60, 'min', '分钟'],
    [1, 's', '秒'],
  ]
  let rest = Math.max(0, Math.round(seconds))
  const parts: string[] = []
  for (const [size, en, zh] of units) {
    const count = Math.floor(rest / size)
    rest -= count * size
    if (count > 0 && parts.length < 2) parts.push(`${count} ${language === 'zh' ? zh : en}`)
  }
  return parts.length > 0 ? parts.join(' ') : language === 'zh' ? '0 秒' : '0 s'
}

/** The rule 中英文之间留空格, applied to text whose parts come from the browser or the server. */
export function spaced(text: string, language: Language): string {
  if (language !== 'zh') return text
  return text.replace(/([\p{Script=Han}])([A-Za-z0-9])/gu, '$1 $2').replace(/([A-Za-z0-9%])([\p{Script=Han}])/gu, '$1 $2')
}
