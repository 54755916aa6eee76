import { MenuOutlined } from '@/shared/ui/icons'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { Button, Drawer } from 'antd'
import { Suspense, useCallback, useEffect, useState, useSyncExternalStore } from 'react'
import { useTranslation } from 'react-i18next'
import { Navigate, Outlet, useLocation } from 'react-router'
import { currentConnection, followEvents, retryNow, subscribeConnection } from '@/api/events'
import type { Me } from '@/api/model'
import { asProblem } from '@/api/problem'
import { keys, sessionQuery, setupQuery } from '@/api/queries'
import { useReach } from '@/api/reach'
import { useScopeTenant } from '@/api/scope'
import { TaskMenu } from '@/features/tasks/TaskMenu'
import { formatDuration } from '@/shared/lib/format'
import { usePreferences } from '@/shared/lib/preferences'
import { Brand } from '@/shared/ui/Brand'
import { PageSkeleton } from '@/shared/ui/Page'
import { LanguageButton, ThemeButton } from '@/shared/ui/Preferences'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { Navigation } from './Navigation'
import { OtherNodes } from './OtherNodes'
import { PersonMenu } from './PersonMenu'
import { Place } from './Place'
import { ReachBanner } from './ReachBanner'
import { SearchButton } from './SearchButton'
import { SessionDialog } from './SessionDialog'
import { Leaving } from './signOut'

/**
 * The frame around every page of a signed-in person; without one it leads to the right door. A session that ends while the
 * page is open does not take the page away: the person signs in again over it.
 */
export function Frame() {
  const session = useQuery(sessionQuery)
  const here = useLocation()
  const [known, setKnown] = useState<Me | null>(null)
  if (session.data && session.data !== known) setKnown(session.data)
  const leave = useCallback(() => setKnown(null), [])
  const setup = useQuery({ ...setupQuery, enabled: session.data === null && known === null })
  const me = session.data ?? known
  if (me) {
    return (
      <Leaving value={leave}>
        <SignedIn me={me} live={session.data !== null} />
        {session.data === null && <SessionDialog me={me} onLeave={leave} />}
      </Leaving>
    )
  }
  // A node that has no cluster yet, or does not answer, is neither to be set up nor signed in to.
  const failed = session.isError ? session : setup.isError ? setup : null
  if (failed) {
    // There is no frame yet that would say it.
    const { message, code, requestId } = asProblem(failed.error)
    return code === 'cut_off' ? (
      <CutOff />
    ) : (
      <div className="sk-page">
        <ProblemAlert problem={{ message, code, requestId }} retry={() => void failed.refetch()} />
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

/** Stands for the whole console where it is opened at a node that is cut off, until that is over. */
function CutOff() {
  const { t } = useTranslation()
  const { language } = usePreferences()
  return (
    <main className="sk-page">
      <div className="sk-lost sk-lost-alone" role="status">
        {t('reach.cutOff', { for: formatDuration(useReach().stale ?? 0, language) })}
        <OtherNodes />
      </div>
    </main>
  )
}

function SignedIn({ me, live }: { me: Me; live: boolean }) {
  const { t } = useTranslation()
  const queries = useQueryClient()
  const tenant = useScopeTenant()
  const [menu, setMenu] = useState(false)
  useEffect(() => {
    if (live) return followEvents(queries)
  }, [queries, tenant, live])
  useEffect(() => {
    if (!live) return
    // The answer to this very question may be such a refusal: one that is under way must not be begun anew.
    const doubt = () => void queries.invalidateQueries({ queryKey: keys.session }, { cancelRefetch: false })
    addEventListener('skerry-unauthorized', doubt)
    return () => removeEventListener('skerry-unauthorized', doubt)
  }, [queries, live])
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
        <SearchButton me={me} />
        <TaskMenu />
        <span className="sk-hide-narrow sk-top-choices">
          <LanguageButton />
          <ThemeButton />
        </span>
        <PersonMenu me={me} />
      </header>
      <main className="sk-main" id="main" tabIndex={-1}>
        <LostBanner />
        <ReachBanner />
        <Suspense fallback={<PageSkeleton />}>
          <Outlet />
        </Suspense>
      </main>
      <Drawer open={menu} placement="left" size={264} title={<Brand />} onClose={() => setMenu(false)} styles={{ body: { padding: 12 } }}>
        <Navigation onChosen={() => setMenu(false)} />
        <div className="sk-menu-choices">
          <LanguageButton />
          <ThemeButton />
        </div>
      </Drawer>
    </div>
  )
}

/** Says that the page is not live, once it has been so for longer than a hiccup, and that it has caught up. */
function LostBanner() {
  const { t } = useTranslation()
  const connection = useSyncExternalStore(subscribeConnection, currentConnection)
  const cutOff = useReach().stale !== undefined
  const [shown, setShown] = useState(false)
  const [back, setBack] = useState(false)
  useEffect(() => {
    if (connection === 'lost') {
      const timer = setTimeout(() => setShown(true), 1_500)
      return () => clearTimeout(timer)
    }
    if (connection === 'live' && shown) {
      // Said in a timer, so that the change of state is not made while the page is being drawn.
      const found = setTimeout(() => {
        setShown(false)
        setBack(true)
      })
      return () => clearTimeout(found)
    }
  }, [connection, shown])
  useEffect(() => {
    if (!back) return
    const timer = setTimeout(() => setBack(false), 4_000)
    return () => clearTimeout(timer)
  }, [back])
  // Of a node that is cut off the other banner tells.
  if (cutOff) return <div role="status" />
  if (shown && connection !== 'live') {
    return (
      <div className="sk-lost" role="status">
        {t('frame.lost')}
        <Button size="small" onClick={retryNow}>
          {t('action.retryNow')}
        </Button>
      </div>
    )
  }
  if (back && connection === 'live') {
    return (
      <div className="sk-lost sk-lost-back" role="status">
        {t('scope.caughtUp')}
      </div>
    )
  }
  return <div role="status" />
}
