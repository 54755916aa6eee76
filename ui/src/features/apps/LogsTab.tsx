import { App as AntApp, Select } from 'antd'
import { useTranslation } from 'react-i18next'
import { useSearchParams } from 'react-router'
import { fetchLog, keptLines, useLogStream } from '@/api/logs'
import type { App, Container } from '@/api/model'
import { asProblem } from '@/api/problem'
import { downloadText } from '@/shared/lib/download'
import { LogView } from '@/shared/ui/LogView'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'

/** The log of one container or of all; which one is in the address. */
export function LogsTab({ app, containers }: { app: App; containers: Container[] }) {
  const [search] = useSearchParams()
  const chosen = containers.find((container) => container.name === search.get('container'))
  const path = chosen ? `/containers/${encodeURIComponent(chosen.id)}/logs` : `/apps/${encodeURIComponent(app.id)}/logs`
  return <Log key={path} path={path} app={app} chosen={chosen} containers={containers} />
}

function Log({ path, app, chosen, containers }: { path: string; app: App; chosen: Container | undefined; containers: Container[] }) {
  const { t } = useTranslation()
  const { message } = AntApp.useApp()
  const [, setSearch] = useSearchParams()
  const generation = chosen ? chosen.id : containers.map(({ id }) => id).sort().join()
  const stream = useLogStream(path, generation)
  return (
    <>
      <ProblemAlert problem={stream.problem} />
      <LogView
        lines={stream.lines}
        showContainer={!chosen && containers.length > 1}
        onDownload={async () => {
          try {
            downloadText(`${chosen?.name ?? app.name}.log`, await fetchLog(path))
          } catch (error) {
            message.error(asProblem(error).message)
          }
        }}
        filter={
          <Select
            style={{ minWidth: 180 }}
            aria-label={t('logs.of')}
            value={chosen?.name ?? ''}
            onChange={(name) =>
              setSearch((old) => {
                if (name) old.set('container', name)
                else old.delete('container')
                return old
              })
            }
            options={[{ value: '', label: t('logs.all', { count: containers.length }) }, ...containers.map(({ name }) => ({ value: name, label: name }))]}
          />
        }
        foot={
          <>
            <span role="status">{t(`logs.${stream.state}`)}</span>
            <span>{t('logs.lines', { count: stream.lines.length })}</span>
            {stream.dropped > 0 && <span>{t('logs.dropped', { kept: keptLines })}</span>}
          </>
        }
      />
    </>
  )
}
