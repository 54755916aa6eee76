import { DownOutlined } from '@/shared/ui/icons'
import { useQuery } from '@tanstack/react-query'
import { Button, Dropdown } from 'antd'
import { useTranslation } from 'react-i18next'
import type { Me } from '@/api/model'
import { environmentsQuery } from '@/api/queries'
import { setScopeEnvironment, useScopeEnvironment, useScopeTenant } from '@/api/scope'
import { useChooseTenant } from './useChooseTenant'

/** Where the person is: tenant and environment, always visible; each switchable where there is a choice. */
export function Place({ me }: { me: Me }) {
  const { t } = useTranslation()
  const chooseTenant = useChooseTenant()
  const scope = useScopeTenant()
  const present = me.tenants.find(({ id, name }) => id === scope || name === scope) ?? me.tenants.find(({ id }) => id === me.defaultTenant) ?? me.tenants[0]
  const environments = useQuery(environmentsQuery).data?.items ?? []
  const environment = useScopeEnvironment()
  const looked = environments.find(({ id }) => id === environment) ?? (environments.length === 1 ? environments[0] : undefined)
  const name = (tenant: { name: string; displayName?: string }) => tenant.displayName || tenant.name
  const tenantLabel = present ? name(present) : t('place.platform')
  const environmentLabel = looked?.name ?? t('scope.everyEnvironment')
  return (
    <div className="sk-place">
      {me.tenants.length > 1 ? (
        <Choice
          label={tenantLabel}
          about={t('place.tenant', { name: tenantLabel })}
          chosen={present?.id ?? ''}
          options={me.tenants.map((tenant) => ({ key: tenant.id, label: name(tenant) }))}
          onChoose={chooseTenant}
        />
      ) : (
        <span className="sk-place-name" title={t('place.tenant', { name: tenantLabel })}>
          {tenantLabel}
        </span>
      )}
      {environments.length > 0 && (
        <>
          <span className="sk-muted" aria-hidden>
            /
          </span>
          {environments.length > 1 ? (
            <Choice
              label={environmentLabel}
              about={t('place.environment', { name: environmentLabel })}
              chosen={looked?.id ?? ''}
              options={[{ key: '', label: t('scope.everyEnvironment') }, ...environments.map(({ id, name }) => ({ key: id, label: name }))]}
              onChoose={setScopeEnvironment}
            />
          ) : (
            <span className="sk-muted sk-place-name" title={t('place.environment', { name: environmentLabel })}>
              {environmentLabel}
            </span>
          )}
        </>
      )}
    </div>
  )
}

function Choice({ label, about, chosen, options, onChoose }: { label: string; about: string; chosen: string; options: { key: string; label: string }[]; onChoose: (key: string) => void }) {
  return (
    <Dropdown trigger={['click']} menu={{ selectedKeys: [chosen], items: options, onClick: ({ key }) => onChoose(key), style: { maxHeight: '60vh', overflow: 'auto' } }}>
      <Button type="text" className="sk-place-choice" aria-label={about} title={about}>
        <span className="sk-place-name">{label}</span>
        <DownOutlined />
      </Button>
    </Dropdown>
  )
}
