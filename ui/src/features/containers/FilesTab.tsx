import { useCallback, useMemo } from 'react'
import { useTranslation } from 'react-i18next'
import { useSearchParams } from 'react-router'
import { containerFiles } from '@/api/files'
import type { Container } from '@/api/model'
import { FileBrowser } from '@/shared/files/FileBrowser'
import type { Place } from '@/shared/files/paths'
import { commandLine, curl } from '@/shared/lib/shell'

export default function FilesTab({ container }: { container: Container }) {
  const { t } = useTranslation()
  const [search, setSearch] = useSearchParams()
  const store = useMemo(() => containerFiles(container.id), [container.id])
  const path = search.get('path') || '/'
  const raw = search.get('raw') ?? undefined
  const place = useMemo((): Place => ({ path, raw }), [path, raw])
  const go = useCallback(
    (next: Place) =>
      setSearch((old) => {
        if (next.path === '/') old.delete('path')
        else old.set('path', next.path)
        if (next.raw === undefined) old.delete('raw')
        else old.set('raw', next.raw)
        return old
      }),
    [setSearch],
  )
  return (
    <FileBrowser
      store={store}
      place={place}
      onPlace={go}
      to={`/containers/${encodeURIComponent(container.name)}?tab=files`}
      readOnly={container.spec.readOnly && !(container.spec.mounts ?? []).some((mount) => !mount.readOnly)}
      note={container.spec.readOnly ? undefined : <p className="sk-muted sk-files-layer">{t('containers.filesNote')}</p>}
      same={({ path }) => ({
        cli: [commandLine('skerry', 'cp', `${container.name}:${path}`, '.'), commandLine('skerry', 'cp', 'FILE', `${container.name}:${path}`)].join('\n'),
        api: curl({ path: `/containers/${encodeURIComponent(container.name)}/archive?path=${encodeURIComponent(path)}`, output: 'files.tar' }),
      })}
    />
  )
}
