import { useQuery } from '@tanstack/react-query'
import { Button, Tag } from 'antd'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import type { Session } from '@/api/model'
import { asProblem } from '@/api/problem'
import { deviceOf } from '@/shared/lib/device'
import { curl } from '@/shared/lib/shell'
import '@/shared/ui/artifacts.css'
import { ConfirmDialog } from '@/shared/ui/ConfirmDialog'
import { Section } from '@/shared/ui/Page'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { SameAs } from '@/shared/ui/SameAs'
import { Time } from '@/shared/ui/Time'
import { sessionsQuery, useEndSessions } from './queries'

/** Where the person is signed in, this browser first; one of them or all others can be ended. */
export function Sessions() {
  const { t } = useTranslation()
  const sessions = useQuery(sessionsQuery)
  const [ending, setEnding] = useState<Session[] | null>(null)
  const items = [...(sessions.data?.items ?? [])].sort((a, b) => Number(b.current) - Number(a.current) || b.createdAt.localeCompare(a.createdAt))
  const others = items.filter((session) => !session.current)
  return (
    <Section
      title={t('sessions.title')}
      extra={
        others.length > 0 && (
          <Button size="small" onClick={() => setEnding(others)}>
            {t('sessions.endOthers', { count: others.length })}
          </Button>
        )
      }
      flush
    >
      {sessions.isError && <ProblemAlert problem={asProblem(sessions.error)} retry={() => void sessions.refetch()} />}
      <ul className="sk-plain-list" aria-label={t('sessions.title')}>
        {items.map((session) => {
          const { program, system } = deviceOf(session.userAgent)
          const device = program && system ? t('sessions.on', { program, system }) : program || system || t('sessions.unknown')
          return (
            <li key={session.id}>
              <span className="sk-grow">
                <span className="sk-name" title={session.userAgent}>
                  {device}
                </span>{' '}
                {session.current && <Tag>{t('sessions.this')}</Tag>}
                <div className="sk-note">
                  {session.remoteIp ? `${session.remoteIp} · ` : ''}
                  {t('sessions.since')} <Time at={session.createdAt} /> · {t('sessions.until')} <Time at={session.expiresAt} future />
                </div>
              </span>
              {!session.current && (
                <Button size="small" aria-label={t('sessions.endName', { name: device })} onClick={() => setEnding([session])}>
                  {t('sessions.end')}
                </Button>
              )}
            </li>
          )
        })}
      </ul>
      {ending && <EndSessions sessions={ending} onClose={() => setEnding(null)} />}
    </Section>
  )
}

function EndSessions({ sessions, onClose }: { sessions: Session[]; onClose: () => void }) {
  const { t } = useTranslation()
  const end = useEndSessions()
  return (
    <ConfirmDialog
      title={t('sessions.endTitle', { count: sessions.length })}
      submit={t('sessions.end')}
      pending={end.isPending}
      problem={end.isError ? asProblem(end.error) : null}
      extra={<SameAs compact api={curl({ method: 'DELETE', path: `/sessions/${sessions[0]?.id ?? ''}` })} />}
      onClose={onClose}
      onSubmit={() => end.mutate(sessions, { onSuccess: onClose })}
    >
      <p>{t('sessions.consequence', { count: sessions.length })}</p>
    </ConfirmDialog>
  )
}
