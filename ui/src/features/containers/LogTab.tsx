import { App as AntApp } from 'antd'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { fetchLog, keptLines, useLogStream } from '@/api/logs'
import type { Container } from '@/api/model'
import { asProblem } from '@/api/problem'
import { downloadText } from '@/shared/lib/download'
import { commandLine, curl } from '@/shared/lib/shell'
import { LogRange, spanOf, type LogRangeValue } from '@/shared/ui/LogRange'
import { LogView } from '@/shared/ui/LogView'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { SameAs } from '@/shared/ui/SameAs'

export default function LogTab({ container }: { container: Container }) {
  const [range, setRange] = useState<LogRangeValue>({ kind: 'live' })
  const span = spanOf(range)
  return <Log key={`${span?.since ?? ''} ${span?.until ?? ''}`} container={container} range={range} onRange={setRange} />
}

function Log({ container, range, onRange }: { container: Container; range: LogRangeValue; onRange: (range: LogRangeValue) => void }) {
  const { t } = useTranslation()
  const { message } = AntApp.useApp()
  const path = `/containers/${encodeURIComponent(container.id)}/logs`
  const span = spanOf(range)
  const stream = useLogStream(path, container.id, 1_000, span)
  const since = span?.since
  return (
    <>
      <ProblemAlert problem={stream.problem} />
      <LogView
        lines={stream.lines}
        showContainer={false}
        filter={<LogRange value={range} onChange={onRange} />}
        onDownload={async () => {
          try {
            downloadText(`${container.name}.log`, await fetchLog(path))
          } catch (error) {
            message.error(asProblem(error).message)
          }
        }}
        foot={
          <>
            <span role="status">{span?.until && stream.state === 'ended' ? t('log.whole') : t(`logs.${stream.state}`)}</span>
            <span>{t('logs.lines', { count: stream.lines.length })}</span>
            {stream.dropped > 0 && <span>{t('logs.dropped', { kept: keptLines })}</span>}
            {stream.skipped > 0 && <span>{t('log.skippedAll', { count: stream.skipped })}</span>}
            <span className="sk-log-gap" />
            <SameAs compact cli={commandLine('skerry', 'logs', '-f', since && '--since', since, container.name)} api={curl({ path: `/containers/${encodeURIComponent(container.name)}/logs?follow=true` })} />
          </>
        }
      />
    </>
  )
}
