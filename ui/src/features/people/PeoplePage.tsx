import { useTranslation } from 'react-i18next'
import { useMay } from '@/api/may'
import { useTenantInView } from '@/api/registry'
import { Page, PageSkeleton } from '@/shared/ui/Page'
import { Members } from './Members'

/** Who works in the tenant in view. */
export default function PeoplePage() {
  const { t } = useTranslation()
  const may = useMay()
  const tenant = useTenantInView()
  if (!tenant) return <PageSkeleton />
  return (
    <Page title={t('nav.people')} plainTitle={t('nav.people')} beside={<span className="sk-muted">{tenant.displayName || tenant.name}</span>}>
      <Members tenant={tenant} editable={may('tenant.people')} />
    </Page>
  )
}
