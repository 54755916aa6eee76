import { MenuOutlined } from '@/shared/ui/icons'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { Button, Drawer } from 'antd'
import { Suspense, useEffect, useState, useSyncExternalStore } from 'react'
import { useTranslation } from 'react-i18next'
import { Navigate, Outlet, useLocation } from 'react-router'
import { currentConnection, followEvents, retryNow, subscribeConnection } from '@/api/events'
import type { Me } from '@/api/model'
import { asProblem } from '@/api/problem'
import { sessionQuery, setupQuery } from '@/api/queries'
import { useScopeTenant } from '@/api/scope'
import { Brand } from '@/shared/ui/Brand'
import { PageSkeleton } from '@/shared/ui/Page'
import { LanguageButton, ThemeButton } from '@/shared/ui/Preferences'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { Navigation } from './Navigation'
import { PersonMenu } from './PersonMenu'
import { Place } from './Place'

/** The frame around every page of a signed-in person; without one it leads to the right door. */
export function Frame() {
  const session = useQuery(sessionQuery)
  const setup = useQuery({ ...setupQuery, enabled: session.data === null })
  const here = useLocation()
  if (session.data) return <SignedIn me={session.data} />
  // A node that has no cluster yet, or does not answer, is neither to be set up nor signed in to.
  const failed = session.isError ? session : setup.isError ? setup : null
  if (failed) {
    return (
      <div className="sk-page">
        <ProblemAlert problem={asProblem(failed.error)} retry={() => void failed.refetch()} />
      </div>
    )
  }
  if (session.data === null && !setup.isPending) {
    if (setup.data?.needed) return <Navigate to="/setup" replace />
    const next = here.pathname === '/' ? '' : `?next=${encodeURIComponent(here.pathname + here.search)}`
    return <Navigate to={`/sign-in${next}`} replace />
  }
  return <PageSkeleton />
}

function SignedIn({ me }: { me: Me }) {
  const { t } = useTranslation()
  const queries = useQueryClient()
  const tenant = useScopeTenant()
  const [menu, setMenu] = useState(false)
  useEffect(() => followEvents(queries), [queries, tenant])
  return (
    <div className="sk-frame">
      <a className="sk-skip" href="#main">
        {t('frame.skip')}
      </a>
      <aside className="sk-side">
        <div>
          <Brand />
          <Navigation />
        </div>
      </aside>
      <header className="sk-top">
        <Button className="sk-menu-button" type="text" icon={<MenuOutlined />} aria-label={t('frame.menu')} onClick={() => setMenu(true)} />
        <Place me={me} />
        <span className="sk-top-gap" />
        <LanguageButton />
        <ThemeButton />
        <PersonMenu me={me} />
      </header>
      <main className="sk-main" id="main" tabIndex={-1}>
        <LostBanner />
        <Suspense fallback={<PageSkeleton />}>
          <Outlet />
        </Suspense>
      </main>
      <Drawer open={menu} placement="left" size={264} title={<Brand />} onClose={() => setMenu(false)} styles={{ body: { padding: 12 } }}>
        <Navigation onChosen={() => setMenu(false)} />
      </Drawer>
    </div>
  )
}

/** Says that the page is not live, once it has been so for longer than a hiccup. */
function LostBanner() {
  const { t } = useTranslation()
  const connection = useSyncExternalStore(subscribeConnection, currentConnection)
  const [shown, setShown] = useState(false)
  useEffect(() => {
    if (connection !== 'lost') return
    const timer = setTimeout(() => setShown(true), 1_500)
    return () => {
      clearTimeout(timer)
      setShown(false)
    }
  }, [connection])
  if (!shown || connection !== 'lost') return <div role="status" />
  return (
    <div className="sk-lost" role="status">
      {t('frame.lost')}
      <Button size="small" onClick={retryNow}>
        {t('action.retryNow')}
      </Button>
    </div>
  )
}
