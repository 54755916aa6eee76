import { QueryCache, QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { App as AntApp } from 'antd'
import { StrictMode, useMemo } from 'react'
import { RouterProvider } from 'react-router'
import { ApiProblem } from '@/api/client'
import { doubtConnection } from '@/api/events'
import { keys } from '@/api/queries'
import { makeRouter } from './routes'
import { Theme } from './Theme'

function makeQueries(): QueryClient {
  const queries: QueryClient = new QueryClient({
    defaultOptions: {
      queries: {
        // Events say what became stale; this is only for the moments without them.
        staleTime: 10_000,
        refetchOnWindowFocus: true,
        // Who reconnects asks everything again itself (events.ts, ReachBanner).
        refetchOnReconnect: false,
        // A refusal stays a refusal; only a missing answer is worth a second try.
        // One about the whole cluster heals for everything at once; until then each list need not insist.
        retry: (failures, error) => !(error instanceof ApiProblem && (error.ofCluster || (error.status > 0 && error.status < 500))) && failures < 2,
      },
      // What a person asks for is tried and answered, even where nothing is asked again by itself.
      mutations: { networkMode: 'always' },
    },
    queryCache: new QueryCache({
      onError: (error) => {
        if (!(error instanceof ApiProblem)) return
        if (error.status === 401) queries.setQueryData(keys.session, null)
        if (error.code === 'no_connection') doubtConnection()
      },
    }),
  })
  return queries
}

export function App() {
  const queries = useMemo(() => makeQueries(), [])
  const router = useMemo(() => makeRouter(), [])
  return (
    <StrictMode>
      <QueryClientProvider client={queries}>
        <Theme>
          <AntApp>
            <RouterProvider router={router} />
          </AntApp>
        </Theme>
      </QueryClientProvider>
    </StrictMode>
  )
}
