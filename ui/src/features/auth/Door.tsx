import { useEffect, type ReactNode } from 'react'
import { Brand } from '@/shared/ui/Brand'
import { LanguageButton, ThemeButton } from '@/shared/ui/Preferences'

/** The frame of the pages before signing in. */
export function Door({ title, lead, children }: { title: string; lead: string; children: ReactNode }) {
  useEffect(() => {
    document.title = `${title} · Skerry`
  }, [title])
  return (
    <div className="sk-door">
      <div className="sk-door-top">
        <LanguageButton />
        <ThemeButton />
      </div>
      <main className="sk-door-card">
        <Brand />
        <h1>{title}</h1>
        <p className="sk-lead">{lead}</p>
        {children}
      </main>
    </div>
  )
}
