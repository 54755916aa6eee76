import { Button, Modal, Skeleton } from 'antd'
import { useEffect } from 'react'
import { useTranslation } from 'react-i18next'
import type { Upstream } from '@/api/model'
import { asProblem } from '@/api/problem'
import { commandLine, curl } from '@/shared/lib/shell'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { SameAs } from '@/shared/ui/SameAs'
import { StatusBadge } from '@/shared/ui/StatusBadge'
import { useTestUpstream } from './queries'

/** Tries every endpoint of an upstream and says of each what came of it. */
export function TestDialog({ upstream, onClose }: { upstream: Upstream; onClose: () => void }) {
  const { t } = useTranslation()
  const test = useTestUpstream()
  const { mutate } = test
  useEffect(() => mutate(upstream), [mutate, upstream])
  return (
    <Modal
      open
      title={t('upstream.testTitle', { name: upstream.name })}
      onCancel={onClose}
      footer={
        <div className="sk-dialog-foot">
          <SameAs compact cli={commandLine('skerry', 'upstream', 'test', upstream.name)} api={curl({ method: 'POST', path: `/upstreams/${encodeURIComponent(upstream.name)}/test` })} />
          <span>
            <Button onClick={() => mutate(upstream)} loading={test.isPending}>
              {t('upstream.testAgain')}
            </Button>
            <Button type="primary" onClick={onClose}>
              {t('action.close')}
            </Button>
          </span>
        </div>
      }
    >
      {test.isError && <ProblemAlert problem={asProblem(test.error)} />}
      {!test.data && !test.isError && <Skeleton active title={false} paragraph={{ rows: 2 }} />}
      {test.data && (
        <div role="status">
          <p>{test.data.ok ? t('upstream.reached') : t('upstream.unreached')}</p>
          <ul className="sk-plain-list">
            {test.data.endpoints.map((endpoint) => (
              <li key={endpoint.endpoint} className="sk-flat">
                <StatusBadge status={endpoint.ok ? 'running' : 'failed'} quiet />
                <span className="sk-grow">
                  <code>{endpoint.endpoint}</code>
                  <div>{endpoint.ok ? t('upstream.answers') : endpoint.message}</div>
                </span>
                <span className="sk-number sk-muted">{endpoint.tookMillis} ms</span>
              </li>
            ))}
          </ul>
        </div>
      )}
    </Modal>
  )
}
