import { useMemo } from 'react'
import { useTranslation } from 'react-i18next'
import { containerFiles } from '@/api/files'
import type { Container } from '@/api/model'
import { FileBrowser } from '@/shared/files/FileBrowser'
import { usePlace } from '@/shared/files/usePlace'
import { commandLine, curl } from '@/shared/lib/shell'

export default function FilesTab({ container }: { container: Container }) {
  const { t } = useTranslation()
  const [place, go] = usePlace()
  const store = useMemo(() => containerFiles(container.id), [container.id])
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
