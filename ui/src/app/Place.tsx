import { DownOutlined } from '@/shared/ui/icons'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { Button, Dropdown } from 'antd'
import { useTranslation } from 'react-i18next'
import type { Me } from '@/api/model'
import { environmentsQuery, keys } from '@/api/queries'
import { setScopeTenant, useScopeTenant } from '@/api/scope'

/** Where the person is: tenant and environment, always visible; the tenant switchable where there is a choice. */
export function Place({ me }: { me: Me }) {
  const { t } = useTranslation()
  const queries = useQueryClient()
  const chosen = useScopeTenant() || me.defaultTenant || me.tenants[0]?.id || ''
  const environments = useQuery(environmentsQuery)
  const name = (tenant: { name: string; displayName?: string }) => tenant.displayName || tenant.name
  const present = me.tenants.find((tenant) => tenant.id === chosen)
  const environment = environments.data?.items[0]?.name
  const label = present ? name(present) : t('place.platform')
  const choose = (id: string) => {
    setScopeTenant(id)
    // What another tenant's lists held must not be seen for even a moment; the session stays.
    queries.removeQueries({ predicate: (query) => query.queryKey[0] !== keys.session[0] && query.queryKey[0] !== keys.environments[0] })
  }
  return (
    <div className="sk-place">
      {me.tenants.length > 1 ? (
        <Dropdown
          trigger={['click']}
          menu={{ selectedKeys: [chosen], items: me.tenants.map((tenant) => ({ key: tenant.id, label: name(tenant) })), onClick: ({ key }) => choose(key) }}
        >
          <Button type="text" aria-label={t('place.tenant', { name: label })}>
            <span className="sk-place-name">{label}</span>
            <DownOutlined />
          </Button>
        </Dropdown>
      ) : (
        <span className="sk-place-name" title={t('place.tenant', { name: label })}>
          {label}
        </span>
      )}
      {environment && (
        <span className="sk-muted sk-place-name" title={t('place.environment', { name: environment })}>
          / {environment}
        </span>
      )}
    </div>
  )
}
