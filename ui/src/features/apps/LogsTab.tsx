import { App as AntApp, Select } from 'antd'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { useSearchParams } from 'react-router'
import { fetchLog, keptLines, useLogStream } from '@/api/logs'
import type { Container } from '@/api/model'
import { asProblem } from '@/api/problem'
import { downloadText } from '@/shared/lib/download'
import { commandLine, curl } from '@/shared/lib/shell'
import { LogRange, spanOf, type LogRangeValue } from '@/shared/ui/LogRange'
import { LogView } from '@/shared/ui/LogView'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { SameAs } from '@/shared/ui/SameAs'

/** What a log is of: an app or a service, by its path below /api/v1 and by the name that the command knows. */
export interface LogOf {
  path: string
  name: string
}

/** The log of one container or of all; which one is in the address. */
export function LogsTab({ of, containers }: { of: LogOf; containers: Container[] }) {
  const [search] = useSearchParams()
  const [range, setRange] = useState<LogRangeValue>({ kind: 'live' })
  const chosen = containers.find((container) => container.name === search.get('container'))
  const shown = chosen ? { path: `/containers/${encodeURIComponent(chosen.id)}/logs`, name: chosen.name } : of
  const span = spanOf(range)
  return <Log key={`${shown.path} ${span?.since ?? ''} ${span?.until ?? ''}`} of={shown} chosen={chosen} containers={containers} range={range} onRange={setRange} />
}

function Log({ of: { path, name }, chosen, containers, range, onRange }: { of: LogOf; chosen: Container | undefined; containers: Container[]; range: LogRangeValue; onRange: (range: LogRangeValue) => void }) {
  const { t } = useTranslation()
  const { message } = AntApp.useApp()
  const [, setSearch] = useSearchParams()
  const generation = chosen ? chosen.id : containers.map(({ id }) => id).sort().join()
  const span = spanOf(range)
  const stream = useLogStream(path, generation, 1_000, span)
  return (
    <>
      <ProblemAlert problem={stream.problem} />
      <LogView
        lines={stream.lines}
        showContainer={!chosen && containers.length > 1}
        onDownload={async () => {
          try {
            downloadText(`${name}.log`, await fetchLog(path))
          } catch (error) {
            message.error(asProblem(error).message)
          }
        }}
        filter={
          <>
            <Select
              style={{ minWidth: 180 }}
              aria-label={t('logs.of')}
              value={chosen?.name ?? ''}
              onChange={(chosen) =>
                setSearch((old) => {
                  if (chosen) old.set('container', chosen)
                  else old.delete('container')
                  return old
                })
              }
              options={[{ value: '', label: t('logs.all', { count: containers.length }) }, ...containers.map(({ name }) => ({ value: name, label: name }))]}
            />
            <LogRange value={range} onChange={onRange} />
          </>
        }
        foot={
          <>
            <span role="status">{t(`logs.${stream.state}`)}</span>
            <span>{t('logs.lines', { count: stream.lines.length })}</span>
            {stream.dropped > 0 && <span>{t('logs.dropped', { kept: keptLines })}</span>}
            <span className="sk-top-gap" />
            <SameAs compact cli={commandLine('skerry', 'logs', '-f', span?.since && '--since', span?.since, name)} api={curl({ path: `${path}?follow=true` })} />
          </>
        }
      />
    </>
  )
}
