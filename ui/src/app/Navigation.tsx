import { AppstoreOutlined, AuditOutlined, CloudServerOutlined, CloudSyncOutlined, CodeSandboxOutlined, ContainerOutlined, DashboardOutlined, DeploymentUnitOutlined, DatabaseOutlined, HddOutlined, HistoryOutlined, IdcardOutlined, SettingOutlined, TeamOutlined, UserOutlined } from '@/shared/ui/icons'
import { Fragment, type ComponentType } from 'react'
import { useTranslation } from 'react-i18next'
import { NavLink } from 'react-router'
import { useMay } from '@/api/may'

/** A page of the main navigation. It appears here together with its route: no entry leads nowhere. */
export interface Place {
  /** Its word is nav.<key>. */
  key: 'dashboard' | 'apps' | 'services' | 'containers' | 'images' | 'repositories' | 'nodes' | 'volumes' | 'events' | 'audit' | 'people' | 'tenants' | 'users' | 'upstreams' | 'settings'
  to: string
  icon: ComponentType
  /** Permission without which it is not shown; the server refuses what is behind it anyway. */
  needs?: string
}

/** The navigation by groups; a group shows its name (nav.<key>) when it has one, and only while it has a place to show. */
export const groups: { key?: 'artifacts' | 'infrastructure' | 'observe' | 'tenant' | 'platform'; places: Place[] }[] = [
  {
    places: [
      { key: 'dashboard', to: '/', icon: DashboardOutlined },
      { key: 'apps', to: '/apps', icon: AppstoreOutlined },
      { key: 'services', to: '/services', icon: DeploymentUnitOutlined },
      { key: 'containers', to: '/containers', icon: CodeSandboxOutlined },
    ],
  },
  {
    key: 'artifacts',
    places: [
      { key: 'images', to: '/images', icon: ContainerOutlined },
      { key: 'repositories', to: '/repositories', icon: DatabaseOutlined },
    ],
  },
  {
    key: 'infrastructure',
    places: [
      { key: 'nodes', to: '/nodes', icon: CloudServerOutlined },
      { key: 'volumes', to: '/volumes', icon: HddOutlined },
    ],
  },
  {
    key: 'observe',
    places: [
      { key: 'events', to: '/events', icon: HistoryOutlined },
      { key: 'audit', to: '/audit', icon: AuditOutlined, needs: 'audit.read' },
    ],
  },
  { key: 'tenant', places: [{ key: 'people', to: '/people', icon: TeamOutlined, needs: 'tenant.read' }] },
  {
    key: 'platform',
    places: [
      { key: 'users', to: '/users', icon: UserOutlined, needs: 'platform.read' },
      { key: 'tenants', to: '/tenants', icon: IdcardOutlined, needs: 'platform.read' },
      { key: 'upstreams', to: '/upstreams', icon: CloudSyncOutlined, needs: 'platform.read' },
      { key: 'settings', to: '/settings', icon: SettingOutlined, needs: 'platform.read' },
    ],
  },
]

/** The places that the person may see, by groups. */
export function usePlaces() {
  const may = useMay()
  return groups.map(({ key, places }) => ({ key, places: places.filter(({ needs }) => !needs || may(needs)) })).filter(({ places }) => places.length > 0)
}

export function Navigation({ onChosen }: { onChosen?: () => void }) {
  const { t } = useTranslation()
  const shown = usePlaces()
  return (
    <nav className="sk-nav" aria-label={t('frame.navigation')}>
      {shown.map((group, i) => (
        <Fragment key={group.key ?? i}>
          {group.key && <div className="sk-nav-group">{t(`nav.${group.key}`)}</div>}
          {group.places.map(({ key, to, icon: Icon }) => (
            <NavLink key={key} to={to} end={to === '/'} onClick={onChosen}>
              <Icon />
              {t(`nav.${key}`)}
            </NavLink>
          ))}
        </Fragment>
      ))}
    </nav>
  )
}
