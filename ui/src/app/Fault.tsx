import { useTranslation } from 'react-i18next'
import { useRouteError } from 'react-router'
import { asProblem } from '@/api/problem'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'

/** What stands where a page failed to load or to draw. A new build replaces the files that an open page may still ask for. */
export function Fault() {
  const { t } = useTranslation()
  const error = useRouteError()
  const stale = error instanceof TypeError && /import|module/i.test(error.message)
  const problem = stale ? { message: t('problem.newVersion'), code: 'new_version', requestId: '' } : asProblem(error)
  return (
    <div className="sk-page">
      <ProblemAlert problem={problem} retry={() => location.reload()} />
    </div>
  )
}
