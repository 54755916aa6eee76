import { DesktopOutlined, GlobalOutlined, MoonOutlined, SunOutlined } from './icons'
import { Button, Dropdown } from 'antd'
import { useTranslation } from 'react-i18next'
import { setLanguage, setTheme, usePreferences, type Language, type ThemeChoice } from '../lib/preferences'

/** Chooses the language. Each is named in itself, so that nobody is lost in the other. */
export function LanguageButton() {
  const { t } = useTranslation()
  const { language } = usePreferences()
  return (
    <Dropdown
      trigger={['click']}
      menu={{
        selectedKeys: [language],
        items: [
          { key: 'en', label: <span lang="en">English</span> },
          { key: 'zh', label: <span lang="zh-CN">中文</span> },
        ],
        onClick: ({ key }) => setLanguage(key as Language),
      }}
    >
      <Button type="text" icon={<GlobalOutlined />} aria-label={t('preferences.language')} title={t('preferences.language')} />
    </Dropdown>
  )
}

/** Chooses light, dark or what the system says. */
export function ThemeButton() {
  const { t } = useTranslation()
  const { theme } = usePreferences()
  const icons = { system: <DesktopOutlined />, light: <SunOutlined />, dark: <MoonOutlined /> }
  return (
    <Dropdown
      trigger={['click']}
      menu={{
        selectedKeys: [theme],
        items: [
          { key: 'system', icon: icons.system, label: t('preferences.system') },
          { key: 'light', icon: icons.light, label: t('preferences.light') },
          { key: 'dark', icon: icons.dark, label: t('preferences.dark') },
        ],
        onClick: ({ key }) => setTheme(key as ThemeChoice),
      }}
    >
      <Button type="text" icon={icons[theme]} aria-label={t('preferences.theme')} title={t('preferences.theme')} />
    </Dropdown>
  )
}
