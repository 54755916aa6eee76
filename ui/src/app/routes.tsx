import type { ComponentType } from 'react'
import { createBrowserRouter, type RouteObject } from 'react-router'
import { PageSkeleton } from '@/shared/ui/Page'
import { Fault } from './Fault'
import { Frame } from './Frame'
import { NotFound } from './NotFound'

const page = (load: () => Promise<{ default: ComponentType }>) => ({
  lazy: async () => ({ Component: (await load()).default }),
})

/** Every page of the console; each is a file of its own that is loaded when it is first opened. */
export const routes: RouteObject[] = [
  { path: '/setup', ...page(() => import('@/features/auth/SetupPage')), HydrateFallback: () => null, errorElement: <Fault /> },
  { path: '/sign-in', ...page(() => import('@/features/auth/SignInPage')), HydrateFallback: () => null, errorElement: <Fault /> },
  {
    path: '/',
    element: <Frame />,
    HydrateFallback: PageSkeleton,
    errorElement: <Fault />,
    children: [
      {
        errorElement: <Fault />,
        children: [
          { index: true, ...page(() => import('@/features/dashboard/DashboardPage')) },
          { path: 'apps', ...page(() => import('@/features/apps/ListPage')) },
          { path: 'apps/new', ...page(() => import('@/features/apps/DeployPage')) },
          { path: 'apps/:ref', ...page(() => import('@/features/apps/DetailPage')) },
          { path: 'apps/:ref/edit', ...page(() => import('@/features/apps/EditPage')) },
          { path: 'services', ...page(() => import('@/features/apps/ServiceListPage')) },
          { path: 'services/:ref', ...page(() => import('@/features/apps/ServicePage')) },
          { path: 'containers', ...page(() => import('@/features/containers/ListPage')) },
          { path: 'containers/:ref', ...page(() => import('@/features/containers/DetailPage')) },
          { path: 'images', ...page(() => import('@/features/images/ListPage')) },
          { path: 'images/:ref', ...page(() => import('@/features/images/DetailPage')) },
          { path: 'repositories', ...page(() => import('@/features/repositories/ListPage')) },
          { path: 'repositories/:ref', ...page(() => import('@/features/repositories/DetailPage')) },
          { path: 'repositories/:ref/images/:reference', ...page(() => import('@/features/repositories/ImagePage')) },
          { path: 'nodes', ...page(() => import('@/features/nodes/ListPage')) },
          { path: 'nodes/:ref', ...page(() => import('@/features/nodes/DetailPage')) },
          { path: 'volumes', ...page(() => import('@/features/volumes/ListPage')) },
          { path: 'volumes/:ref', ...page(() => import('@/features/volumes/DetailPage')) },
          { path: 'events', ...page(() => import('@/features/events/ListPage')) },
          { path: 'audit', ...page(() => import('@/features/events/AuditPage')) },
          { path: 'people', ...page(() => import('@/features/people/PeoplePage')) },
          { path: 'users', ...page(() => import('@/features/people/UsersPage')) },
          { path: 'tenants', ...page(() => import('@/features/people/TenantsPage')) },
          { path: 'tenants/:ref', ...page(() => import('@/features/people/TenantPage')) },
          { path: 'upstreams', ...page(() => import('@/features/upstreams/ListPage')) },
          { path: 'settings', ...page(() => import('@/features/settings/SettingsPage')) },
          { path: 'account', ...page(() => import('@/features/account/AccountPage')) },
          { path: '*', element: <NotFound /> },
        ],
      },
    ],
  },
]

export function makeRouter() {
  return createBrowserRouter(routes)
}
