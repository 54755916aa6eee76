import { Button } from 'antd'
import { useTranslation } from 'react-i18next'
import { Link } from 'react-router'
import type { App } from '@/api/model'
import { useMay } from '@/api/may'
import { Editor } from '@/shared/editor'
import { downloadText } from '@/shared/lib/download'
import { CopyButton } from '@/shared/ui/CopyButton'
import { DownloadOutlined } from '@/shared/ui/icons'
import { Section } from '@/shared/ui/Page'
import { composeOf } from './compose'

/** The app's compose text: its own where it was deployed by one, else what would make the same. */
export function SourceTab({ app }: { app: App }) {
  const { t } = useTranslation()
  const may = useMay()
  const text = app.spec.source || composeOf(app.name, app.spec.services)
  return (
    <Section
      title={app.spec.source ? t('source.own') : t('source.made')}
      extra={
        <>
          <CopyButton text={text} />
          <Button size="small" type="text" icon={<DownloadOutlined />} aria-label={t('logs.download')} title={t('logs.download')} onClick={() => downloadText(`${app.name}.yaml`, text)} />
          {may('app.write') && (
            <Link to={`/apps/${encodeURIComponent(app.name)}/edit?by=compose`}>
              <Button size="small">{t('deploy2.editShort')}</Button>
            </Link>
          )}
        </>
      }
      flush
    >
      <Editor value={text} label={t('compose.text')} readOnly minHeight="160px" />
    </Section>
  )
}
