import { ConfigProvider, theme } from 'antd'
import enUS from 'antd/locale/en_US'
import zhCN from 'antd/locale/zh_CN'
import { useEffect, useSyncExternalStore, type ReactNode } from 'react'
import { usePreferences } from '@/shared/lib/preferences'
import { fontFamily, mix, monoFamily, radius, tokens, type Scheme } from '@/shared/lib/tokens'

const dark = matchMedia('(prefers-color-scheme: dark)')

function useMedia(query: MediaQueryList): boolean {
  return useSyncExternalStore(
    (listener) => {
      query.addEventListener('change', listener)
      return () => query.removeEventListener('change', listener)
    },
    () => query.matches,
  )
}

/** Gives Ant Design and our own CSS the same token set, in the scheme that the person or the system chose. */
export function Theme({ children }: { children: ReactNode }) {
  const { theme: choice, language } = usePreferences()
  const systemDark = useMedia(dark)
  const scheme: Scheme = choice === 'system' ? (systemDark ? 'dark' : 'light') : choice
  const set = tokens[scheme]

  useEffect(() => {
    const root = document.documentElement
    if (choice === 'system') delete root.dataset.theme
    else root.dataset.theme = choice
    for (const [name, value] of Object.entries(set)) root.style.setProperty(`--sk-${name}`, value)
    const soft = (name: string, color: string, share: number) => root.style.setProperty(`--sk-${name}`, mix(color, set.surface, share))
    soft('hover', set.muted, 0.09)
    soft('accent-soft', set.accent, 0.12)
    soft('orange-soft', set.orange, 0.14)
    soft('log', set.muted, 0.04)
    soft('mark', set.orange, 0.4)
    root.style.setProperty('--sk-font', fontFamily)
    root.style.setProperty('--sk-mono', monoFamily)
  }, [choice, set])

  return (
    <ConfigProvider
      locale={language === 'zh' ? zhCN : enUS}
      button={{ autoInsertSpace: false }}
      theme={{
        algorithm: scheme === 'dark' ? theme.darkAlgorithm : theme.defaultAlgorithm,
        token: {
          colorPrimary: set.accent,
          colorLink: set.accent,
          colorSuccess: set.green,
          colorInfo: set.blue,
          colorWarning: set.orange,
          colorError: set.red,
          colorWarningBg: mix(set.orange, set.surface, 0.09),
          colorWarningBorder: mix(set.orange, set.surface, 0.45),
          colorErrorBg: mix(set.red, set.surface, 0.09),
          colorErrorBorder: mix(set.red, set.surface, 0.45),
          colorBgLayout: set.page,
          colorBgContainer: set.surface,
          colorBgElevated: set.raised,
          colorBorderSecondary: set.line,
          colorText: set.text,
          colorTextSecondary: set.muted,
          colorTextDescription: set.muted,
          colorTextPlaceholder: set.muted,
          borderRadius: radius,
          fontFamily,
          fontFamilyCode: monoFamily,
          sizeUnit: 4,
          sizeStep: 4,
        },
        components: {
          Table: { headerBg: set.surface, headerColor: set.muted, cellPaddingBlockMD: 9, cellPaddingInlineMD: 16, headerSplitColor: 'transparent' },
          Alert: { withDescriptionPadding: '10px 16px', withDescriptionIconSize: 18 },
          Button: { primaryShadow: 'none', defaultShadow: 'none', ...(scheme === 'dark' ? { primaryColor: '#06181b' } : {}) },
        },
      }}
    >
      {children}
    </ConfigProvider>
  )
}
