/** The one token set of the console. Light and dark differ only here; Ant Design derives the rest from these seeds. */
export type Scheme = 'light' | 'dark'

export interface Tokens {
  accent: string
  page: string
  surface: string
  raised: string
  line: string
  text: string
  muted: string
  /** Tones of the status vocabulary: each is readable as text on surface (AA). */
  green: string
  blue: string
  orange: string
  red: string
  grey: string
}

export const tokens: Record<Scheme, Tokens> = {
  light: {
    accent: '#0b6e7c',
    page: '#f4f6f7',
    surface: '#ffffff',
    raised: '#ffffff',
    line: '#dfe4e7',
    text: '#17242b',
    muted: '#56666f',
    green: '#1b7a43',
    blue: '#1a66c2',
    orange: '#a85400',
    red: '#c22f2f',
    grey: '#5d6b74',
  },
  dark: {
    accent: '#43b3bf',
    page: '#0f1518',
    surface: '#172024',
    raised: '#1f2a2f',
    line: '#2c393f',
    text: '#e3eaed',
    muted: '#9aaab2',
    green: '#52c285',
    blue: '#6caef5',
    orange: '#f0a04b',
    red: '#f47c74',
    grey: '#98a6ae',
  },
}

/** Corner radius in px. */
export const radius = 6

/** The fonts of the system, Chinese included; nothing is downloaded. */
export const fontFamily =
  'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "Source Han Sans SC", sans-serif'

export const monoFamily = 'ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", "Noto Sans Mono CJK SC", monospace'

/** A share of one colour over another, both as #rrggbb. */
export function mix(color: string, over: string, share: number): string {
  const part = (at: number) => {
    const value = parseInt(color.slice(at, at + 2), 16) * share + parseInt(over.slice(at, at + 2), 16) * (1 - share)
    return Math.round(value).toString(16).padStart(2, '0')
  }
  return `#${part(1)}${part(3)}${part(5)}`
}
