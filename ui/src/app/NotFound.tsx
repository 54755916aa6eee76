import { Button } from 'antd'
import { useTranslation } from 'react-i18next'
import { Link } from 'react-router'
import { EmptyState } from '@/shared/ui/EmptyState'
import { Page } from '@/shared/ui/Page'

export function NotFound() {
  const { t } = useTranslation()
  return (
    <Page title={t('notFound.title')} plainTitle={t('notFound.title')}>
      <EmptyState sentence={t('notFound.sentence')} action={<Link to="/"><Button type="primary">{t('notFound.home')}</Button></Link>} />
    </Page>
  )
}
