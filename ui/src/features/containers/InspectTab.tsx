import { DownloadOutlined } from '@/shared/ui/icons'
import { Button } from 'antd'
import { useMemo, type ReactNode } from 'react'
import { useTranslation } from 'react-i18next'
import type { Container } from '@/api/model'
import { downloadText } from '@/shared/lib/download'
import { commandLine, curl } from '@/shared/lib/shell'
import { CopyButton } from '@/shared/ui/CopyButton'
import { Section } from '@/shared/ui/Page'
import { SameAs } from '@/shared/ui/SameAs'

/** The container as the API gives it. */
export default function InspectTab({ container }: { container: Container }) {
  const { t } = useTranslation()
  const text = useMemo(() => JSON.stringify(container, null, 2), [container])
  return (
    <Section
      title={t('containers.json')}
      flush
      extra={
        <>
          <CopyButton text={text} />
          <Button size="small" type="text" icon={<DownloadOutlined />} aria-label={t('logs.download')} title={t('logs.download')} onClick={() => downloadText(`${container.name}.json`, text)} />
          <SameAs compact cli={commandLine('skerry', 'inspect', container.name)} api={curl({ path: `/containers/${encodeURIComponent(container.name)}` })} />
        </>
      }
    >
      <pre className="sk-json" tabIndex={0} aria-label={t('containers.json')}>
        {coloured(text)}
      </pre>
    </Section>
  )
}

/** JSON with its names, strings and numbers in their own colours; as text, whatever the values hold. */
export function coloured(text: string): ReactNode[] {
  const parts: ReactNode[] = []
  let from = 0
  for (const match of text.matchAll(/("(?:[^"\\]|\\.)*")(\s*:)?|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|\b(?:true|false|null)\b/gi)) {
    parts.push(text.slice(from, match.index))
    const token = match[1] ?? match[0]
    parts.push(
      <span key={match.index} className={match[1] ? (match[2] ? 'k' : 's') : 'n'}>
        {token}
      </span>,
    )
    if (match[2]) parts.push(match[2])
    from = match.index + match[0].length
  }
  parts.push(text.slice(from))
  return parts
}
