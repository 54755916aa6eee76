import { Segmented } from 'antd'
import { useCallback, useRef, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { Link, useSearchParams } from 'react-router'
import type { AppInput } from '@/api/model'
import { Page } from '@/shared/ui/Page'
import { composeOf } from './compose'
import { ComposeDeploy, template } from './ComposeDeploy'
import { FormDeploy } from './FormDeploy'

/** Deploys a new app by form or by compose text; which of them is in the address. */
export default function DeployPage() {
  const { t } = useTranslation()
  const [search, setSearch] = useSearchParams()
  const by = search.get('by') === 'compose' ? 'compose' : 'form'
  const written = useRef<AppInput | null>(null)
  /** What the text began with; null until the way by text was first chosen. */
  const [begun, setBegun] = useState(by === 'compose' ? template : null)
  const keep = useCallback((input: AppInput | null) => {
    written.current = input
  }, [])
  return (
    <Page
      title={t('deploy.title')}
      plainTitle={t('deploy.title')}
      back={<Link to="/apps">{t('nav.apps')}</Link>}
      actions={
        <Segmented
          aria-label={t('deploy2.way')}
          value={by}
          options={[
            { value: 'form', label: t('deploy2.form') },
            { value: 'compose', label: t('deploy2.compose') },
          ]}
          onChange={(next) => {
            // What the form holds goes on as text, unless one was begun already.
            if (next === 'compose') setBegun((old) => old ?? (written.current?.services ? composeOf(written.current.name, written.current.services) : template))
            setSearch(
              (old) => {
                if (next === 'compose') old.set('by', 'compose')
                else old.delete('by')
                return old
              },
              { replace: true },
            )
          }}
        />
      }
    >
      {/* Both stay: whoever looks at the other way finds what he typed here. */}
      <div hidden={by !== 'form'}>
        <FormDeploy image={search.get('image') ?? ''} onValues={keep} />
      </div>
      {(by === 'compose' || begun !== null) && (
        <div hidden={by !== 'compose'}>
          <ComposeDeploy source={begun ?? template} />
        </div>
      )}
    </Page>
  )
}
