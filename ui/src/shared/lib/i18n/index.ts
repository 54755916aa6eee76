import i18next from 'i18next'
import { initReactI18next } from 'react-i18next'
import { preferences, subscribePreferences, type Language } from '../preferences'
import { en } from './en'
import { zh } from './zh'

declare module 'i18next' {
  interface CustomTypeOptions {
    resources: { translation: typeof en }
    returnNull: false
  }
}

/** Starts i18next with the language of the preferences and follows their changes. Both catalogues are in the first page. */
export function startI18n() {
  void i18next.use(initReactI18next).init({
    resources: { en: { translation: en }, zh: { translation: zh } },
    lng: preferences().language,
    fallbackLng: false,
    interpolation: { escapeValue: false },
    initAsync: false,
  })
  const follow = () => {
    const { language } = preferences()
    document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en'
    if (i18next.language !== language) void i18next.changeLanguage(language)
  }
  follow()
  subscribePreferences(follow)
}

export function currentLanguage(): Language {
  return preferences().language
}

export { i18next }
