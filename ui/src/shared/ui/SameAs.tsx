import { CodeOutlined } from './icons'
import { Button, Modal, Tabs } from 'antd'
import { useState, useSyncExternalStore } from 'react'
import { useTranslation } from 'react-i18next'
import { CopyButton } from './CopyButton'

/**
 * The other ways to do the same; lib/shell.ts writes the first two:
 *
 *     <SameAs cli={commandLine('skerry', 'app', 'stop', app.name)} api={curl({ method: 'POST', path: `/apps/${app.name}/stop` })} />
 *
 * What has no such form (no compose fragment stops an app) is left out.
 */
export interface Equivalents {
  /** The `skerry` command. */
  cli?: string
  /** The call with curl. */
  api?: string
  /** The compose fragment, or the whole file. */
  compose?: string
}

type Kind = keyof Equivalents
const kinds: readonly Kind[] = ['cli', 'api', 'compose']

// Who copies curl once copies curl again: the kind chosen last holds for every panel of the page.
let preferred: Kind = 'cli'
const listeners = new Set<() => void>()
function prefer(kind: Kind) {
  preferred = kind
  for (const listener of listeners) listener()
}
function usePreferred(): Kind {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    () => preferred,
  )
}

/** Shows the command, the API call and the compose fragment that do what this form or action does, each ready to copy. */
export function SameAsPanel(equivalents: Equivalents) {
  const { t } = useTranslation()
  const chosen = usePreferred()
  const given = kinds.flatMap((key) => {
    const text = equivalents[key]
    return text ? [{ key, text }] : []
  })
  if (given.length === 0) return null
  return (
    <Tabs
      size="small"
      className="sk-same"
      activeKey={given.some(({ key }) => key === chosen) ? chosen : given[0]?.key}
      onChange={(key) => prefer(key as Kind)}
      items={given.map(({ key, text }) => ({
        key,
        label: t(`sameAs.${key}`),
        children: (
          <>
            <div className="sk-code">
              <pre tabIndex={0} aria-label={t(`sameAs.${key}`)}>
                {text}
              </pre>
              <CopyButton text={text} />
            </div>
            {key === 'api' && text.includes('$SKERRY_TOKEN') && <p className="sk-same-hint">{t('same.token')}</p>}
          </>
        ),
      }))}
    />
  )
}

/** The same behind a button, for actions: with its word in a page's header, as an icon (`compact`) in a row or a dialog. */
export function SameAs({ compact, title, ...equivalents }: Equivalents & { compact?: boolean; title?: string }) {
  const { t } = useTranslation()
  const [open, setOpen] = useState(false)
  const name = title ?? t('sameAs.title')
  return (
    <>
      <Button icon={<CodeOutlined />} type={compact ? 'text' : 'default'} aria-label={name} title={compact ? name : undefined} onClick={() => setOpen(true)}>
        {compact ? null : t('sameAs.title')}
      </Button>
      <Modal open={open} title={name} footer={null} onCancel={() => setOpen(false)} destroyOnHidden>
        <SameAsPanel {...equivalents} />
      </Modal>
    </>
  )
}
