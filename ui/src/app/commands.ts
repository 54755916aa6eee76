import { useTranslation } from 'react-i18next'
import type { Me } from '@/api/model'
import { useMay } from '@/api/may'
import type { Offer } from '@/features/palette/match'
import { setLanguage, setTheme } from '@/shared/lib/preferences'
import { usePlaces } from './Navigation'
import { useSignOut } from './signOut'
import { useChooseTenant } from './useChooseTenant'

/** What the palette offers beside objects: the pages of the navigation, and everything that can be begun or switched. */
export function useCommands(me: Me): { places: Offer[]; actions: Offer[] } {
  const { t } = useTranslation()
  const may = useMay()
  const chooseTenant = useChooseTenant()
  const groups = usePlaces()
  const signOut = useSignOut()
  const places: Offer[] = [
    ...groups.flatMap(({ places }) => places.map(({ key, to }) => ({ id: `page-${key}`, label: t(`nav.${key}`), keywords: key, to }))),
    { id: 'page-account', label: t('person.account'), keywords: 'account password tokens sessions', to: '/account' },
  ]
  const begin = (permission: string, offer: Offer): Offer[] => (may(permission) ? [offer] : [])
  const actions: Offer[] = [
    ...begin('app.write', { id: 'new-app', label: t('palette.newApp'), keywords: 'new app deploy run form', to: '/apps/new' }),
    ...begin('app.write', { id: 'new-compose', label: t('palette.newCompose'), keywords: 'new app compose yaml editor stack', to: '/apps/new?by=compose' }),
    ...begin('image.write', { id: 'pull', label: t('palette.pull'), keywords: 'pull image fetch', to: '/images?do=pull' }),
    ...begin('image.write', { id: 'upload', label: t('palette.upload'), keywords: 'upload import image archive tar', to: '/images?do=upload' }),
    ...begin('image.write', { id: 'new-repository', label: t('palette.newRepository'), keywords: 'new create repository', to: '/repositories?do=create' }),
    ...begin('platform.write', { id: 'add-node', label: t('join.title'), keywords: 'add join node host token worker member', to: '/nodes?do=add' }),
    ...begin('platform.write', { id: 'new-user', label: t('palette.newUser'), keywords: 'new create user', to: '/users?do=create' }),
    ...begin('platform.write', { id: 'new-tenant', label: t('palette.newTenant'), keywords: 'new create tenant', to: '/tenants?do=create' }),
    { id: 'new-token', label: t('palette.newToken'), keywords: 'new api token', to: '/account?do=token' },
    ...me.tenants.filter(() => me.tenants.length > 1).map((tenant) => ({
      id: `tenant-${tenant.id}`,
      label: t('palette.tenant', { name: tenant.displayName || tenant.name }),
      keywords: `switch tenant ${tenant.name}`,
      run: () => chooseTenant(tenant.id),
    })),
    { id: 'light', label: t('palette.light'), keywords: 'theme light', run: () => setTheme('light') },
    { id: 'dark', label: t('palette.dark'), keywords: 'theme dark', run: () => setTheme('dark') },
    { id: 'system', label: t('palette.system'), keywords: 'theme system', run: () => setTheme('system') },
    { id: 'en', label: 'English', hint: t('preferences.language'), keywords: 'switch language english', run: () => setLanguage('en') },
    { id: 'zh', label: '中文', hint: t('preferences.language'), keywords: 'switch language chinese zhongwen', run: () => setLanguage('zh') },
    { id: 'sign-out', label: t('person.signOut'), keywords: 'sign out log out', run: () => signOut.mutate() },
  ]
  return { places, actions }
}
