import { CodeOutlined } from './icons'
import { Button, Modal, Tabs } from 'antd'
import { useState } from 'react'
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
  const [open, setOpen] = useState(false)
  return (
    <>
      <Button icon={<CodeOutlined />} onClick={() => setOpen(true)}>
        {t('sameAs.title')}
      </Button>
      <Modal open={open} title={t('sameAs.title')} footer={null} onCancel={() => setOpen(false)}>
        <SameAsPanel {...equivalents} />
      </Modal>
    </>
  )
}
