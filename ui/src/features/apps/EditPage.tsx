import { useQuery } from '@tanstack/react-query'
import { Segmented } from 'antd'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { Link, useParams, useSearchParams } from 'react-router'
import { asProblem } from '@/api/problem'
import { appQuery } from '@/api/queries'
import { Page, PageSkeleton } from '@/shared/ui/Page'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { composeOf } from './compose'
import { ComposeDeploy } from './ComposeDeploy'
import { FormDeploy } from './FormDeploy'

/** Changes an app by form (one service at a time) or by its compose text. */
export default function EditPage() {
  const { t } = useTranslation()
  const { ref = '' } = useParams()
  const [search, setSearch] = useSearchParams()
  const app = useQuery(appQuery(ref))
  /** The ways that were looked at: each is made when it is first wanted, and then keeps what was typed. */
  const [opened, setOpened] = useState<readonly string[]>([])
  if (app.isPending) return <PageSkeleton />
  const back = <Link to={`/apps/${encodeURIComponent(ref)}`}>{app.data?.name ?? ref}</Link>
  if (!app.data) {
    return (
      <Page title={ref} plainTitle={ref} back={back}>
        <ProblemAlert problem={asProblem(app.error)} retry={() => void app.refetch()} />
      </Page>
    )
  }
  const by = search.get('by') ?? (app.data.spec.source || Object.keys(app.data.spec.services).length > 1 ? 'compose' : 'form')
  const title = t('deploy2.edit', { name: app.data.name })
  return (
    <Page
      title={title}
      plainTitle={title}
      back={back}
      actions={
        <Segmented
          aria-label={t('deploy2.way')}
          value={by}
          options={[
            { value: 'form', label: t('deploy2.form') },
            { value: 'compose', label: t('deploy2.compose') },
          ]}
          onChange={(next) => {
            setOpened([by, next])
            setSearch({ by: next }, { replace: true })
          }}
        />
      }
    >
      {(by === 'form' || opened.includes('form')) && (
        <div hidden={by !== 'form'}>
          <FormDeploy app={app.data} />
        </div>
      )}
      {(by === 'compose' || opened.includes('compose')) && (
        <div hidden={by !== 'compose'}>
          <ComposeDeploy app={app.data} source={app.data.spec.source || composeOf(app.data.name, app.data.spec.services)} />
        </div>
      )}
    </Page>
  )
}
