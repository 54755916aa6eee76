import { Button } from 'antd'
import { lazy, Suspense, useEffect, useState } from 'react'
import { useTranslation } from 'react-i18next'
import type { Me } from '@/api/model'
import { useScopeTenant } from '@/api/scope'
import { SearchOutlined } from '@/shared/ui/icons'
import { useCommands } from './commands'

const Palette = lazy(() => import('@/features/palette/Palette'))

const mac = /Mac|iP(hone|ad)/.test(navigator.userAgent)

/** Opens the palette, also by Ctrl-K or Cmd-K from wherever the person types. */
export function SearchButton({ me }: { me: Me }) {
  const { t } = useTranslation()
  const [open, setOpen] = useState(false)
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.key.toLowerCase() !== 'k' || !(mac ? event.metaKey : event.ctrlKey) || event.altKey || event.shiftKey) return
      event.preventDefault()
      setOpen((old) => !old)
    }
    // Before a terminal or an editor takes the key for itself.
    addEventListener('keydown', press, { capture: true })
    return () => removeEventListener('keydown', press, { capture: true })
  }, [])
  return (
    <>
      <Button className="sk-search" icon={<SearchOutlined />} aria-keyshortcuts="Control+K Meta+K" onClick={() => setOpen(true)}>
        <span className="sk-search-word">{t('palette.open')}</span>
        <kbd className="sk-hide-narrow" aria-hidden>{mac ? '⌘K' : 'Ctrl K'}</kbd>
      </Button>
      {open && (
        <Suspense fallback={null}>
          <Opened me={me} onClose={() => setOpen(false)} />
        </Suspense>
      )}
    </>
  )
}

function Opened({ me, onClose }: { me: Me; onClose: () => void }) {
  const { places, actions } = useCommands(me)
  const tenant = useScopeTenant() || me.defaultTenant || ''
  return <Palette places={places} actions={actions} owner={`${me.userId ?? me.name}.${tenant}`} onClose={onClose} />
}
