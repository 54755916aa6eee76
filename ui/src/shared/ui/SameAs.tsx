import { CodeOutlined } from '@ant-design/icons'
import { Button, Popover, Tabs } from 'antd'
import { useTranslation } from 'react-i18next'
import { CopyButton } from './CopyButton'

/** The other ways to do the same. */
export interface Equivalents {
  cli?: string
  api?: string
  compose?: string
}

/** Shows the command, the API call and the compose fragment that do what this form or action does. */
export function SameAsPanel({ cli, api, compose }: Equivalents) {
  const { t } = useTranslation()
  const kinds = [
    { key: 'cli', label: t('sameAs.cli'), text: cli },
    { key: 'api', label: t('sameAs.api'), text: api },
    { key: 'compose', label: t('sameAs.compose'), text: compose },
  ].filter((kind): kind is { key: string; label: string; text: string } => Boolean(kind.text))
  return (
    <Tabs
      size="small"
      items={kinds.map(({ key, label, text }) => ({
        key,
        label,
        children: (
          <div className="sk-code">
            <pre tabIndex={0}>{text}</pre>
            <CopyButton text={text} />
          </div>
        ),
      }))}
    />
  )
}

/** The same behind a button, for an action in a page's header. */
export function SameAs(equivalents: Equivalents) {
  const { t } = useTranslation()
  return (
    <Popover trigger="click" placement="bottomRight" title={t('sameAs.title')} content={<div className="sk-sameas"><SameAsPanel {...equivalents} /></div>}>
      <Button icon={<CodeOutlined />}>{t('sameAs.title')}</Button>
    </Popover>
  )
}
